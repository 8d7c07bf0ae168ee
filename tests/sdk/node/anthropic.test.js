// The official `@anthropic-ai/sdk` client on routes whose target speaks the same dialect.
import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { z } from 'zod';
import { all, cities, target, twoCities } from './gateway.js';

const messages = [{ role: 'user', content: 'Say hello.' }];
const input_schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ name: 'weather', description: 'The weather.', input_schema }];
const ask = (served, more = {}) => ({ model: served.model, messages, max_tokens: 100, ...more });
const uses = (message) => message.content.filter((block) => block.type === 'tool_use');

test('a unary answer arrives as the provider gave it', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ text: 'Hello there.', usage: { input: 7, output: 5, cached_read: 3, cache_write: 2 } });
  const { data, request_id } = await new Anthropic().messages.create(ask(served)).withResponse();
  assert.equal(data.content[0].text, 'Hello there.');
  assert.equal(data.model, served.upstreamModel);
  const { input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens } = data.usage;
  assert.deepEqual([input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens], [7, 5, 3, 2]);
  assert.ok(request_id);
});

test('a stream is made of the events of its dialect', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ chunks: 2 });
  const events = await all(await new Anthropic().messages.create(ask(served, { stream: true })));
  const kinds = events.map((event) => event.type).filter((kind) => kind !== 'ping');
  const deltas = ['content_block_delta', 'content_block_delta'];
  assert.deepEqual(kinds, ['message_start', 'content_block_start', ...deltas, 'content_block_stop', 'message_delta', 'message_stop']);
});

test('the stream helper ends in the whole message', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ chunks: 4, usage: { input: 7, output: 5 } });
  const pieces = [];
  const stream = new Anthropic().messages.stream(ask(served)).on('text', (piece) => pieces.push(piece));
  const final = await stream.finalMessage();
  assert.deepEqual(pieces, [1, 2, 3, 4].map((number) => `piece${number} `));
  assert.equal(final.content[0].text, pieces.join(''));
  assert.deepEqual([final.usage.input_tokens, final.usage.output_tokens], [7, 5]);
});

test('parallel tool calls and their results make a conversation', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ tool_calls: twoCities });
  const client = new Anthropic();
  const asked = await client.messages.create(ask(served, { tools }));
  assert.deepEqual(uses(asked).map((use) => use.input), cities);
  const results = uses(asked).map((use) => ({ type: 'tool_result', tool_use_id: use.id, content: '18 °C' }));
  const turns = [...messages, { role: 'assistant', content: asked.content }, { role: 'user', content: results }];
  assert.ok((await client.messages.create(ask(served, { tools, messages: turns }))).content[0].text);
});

test('streamed tool calls come together', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ tool_calls: twoCities });
  const final = await new Anthropic().messages.stream(ask(served, { tools })).finalMessage();
  assert.deepEqual(uses(final).map((use) => use.input), cities);
});

test('thinking comes before the answer and keeps its signature', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ thinking: 'First this, then that.', text: 'So it is.' });
  const request = ask(served, { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 2048 });
  const client = new Anthropic();
  for (const message of [await client.messages.create(request), await client.messages.stream(request).finalMessage()]) {
    const [thought, said] = message.content;
    assert.deepEqual([thought.thinking, said.text], ['First this, then that.', 'So it is.']);
    assert.ok(thought.signature);
  }
});

test('an answer keeps to the schema that was given', async (t) => {
  const served = target(t, 'anthropic');
  const person = z.object({ name: z.string(), age: z.number() });
  const answer = await new Anthropic().messages.parse(ask(served, { output_config: { format: zodOutputFormat(person) } }));
  assert.ok(person.safeParse(answer.parsed_output).success);
});

test('tokens are counted by the provider', async (t) => {
  const served = target(t, 'anthropic');
  const counted = await new Anthropic().messages.countTokens({ model: served.model, messages });
  assert.ok(counted.input_tokens > 0);
  assert.equal((await served.calls())[0].path, '/v1/messages/count_tokens');
});

test('models are what the routes offer', async (t) => {
  const served = target(t, 'anthropic');
  const client = new Anthropic();
  const offered = (await all(client.models.list({ limit: 1000 }))).map((model) => model.id);
  assert.ok(offered.includes(served.name) && offered.includes(`org/${served.name}`));
  assert.equal((await client.models.retrieve(`org/${served.name}`)).id, `org/${served.name}`);
});

for (const timeout of [500, 1500]) {
  // This client tells its timeout in whole seconds: half a second is told as zero, which must not end the call at once for ever.
  test(`a timeout of ${timeout} ms reaches the provider`, async (t) => {
    const served = target(t, 'anthropic');
    await served.script({ latency_ms: 60_000 });
    const call = new Anthropic({ timeout, maxRetries: 0 }).messages.create(ask(served));
    await assert.rejects(call, (error) => error instanceof Anthropic.APIConnectionTimeoutError || error instanceof Anthropic.InternalServerError);
    assert.ok((await served.calls({ aborted: 1 }))[0].aborted);
  });
}

test('a timeout below a second leaves time for an answer', async (t) => {
  const served = target(t, 'anthropic');
  assert.ok((await new Anthropic({ timeout: 900, maxRetries: 0 }).messages.create(ask(served))).content[0].text);
});

test('leaving a stream reaches the provider', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ chunks: 2, stall: { after_chunks: 1 } });
  const stream = await new Anthropic().messages.create(ask(served, { stream: true }));
  for await (const event of stream) if (event.type === 'content_block_delta') break;
  assert.ok((await served.calls({ aborted: 1 }))[0].aborted);
});
