// The official `openai` client on routes whose target speaks the same dialect.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { all, cities, target, twoCities } from './gateway.js';

const messages = [{ role: 'user', content: 'Say hello.' }];
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather.', parameters } }];

test('a unary answer arrives as the provider gave it', async (t) => {
  const served = target(t, 'openai');
  await served.script({ text: 'Hello there.', usage: { input: 7, output: 5, cached_read: 2 } });
  const { data, response, request_id } = await new OpenAI().chat.completions.create({ model: served.model, messages }).withResponse();
  assert.equal(data.choices[0].message.content, 'Hello there.');
  assert.equal(data.model, served.upstreamModel);
  assert.deepEqual([data.usage.prompt_tokens, data.usage.completion_tokens], [9, 5]);
  assert.ok(request_id);
  assert.equal(response.headers.get('x-outrigger-route'), `default/${served.name}/all`);
  assert.match(response.headers.get('x-outrigger-attempts'), /outcome=ok/);
});

test('a stream arrives piece by piece and without the usage that nobody asked for', async (t) => {
  const served = target(t, 'openai');
  await served.script({ chunks: 5 });
  const chunks = await all(await new OpenAI().chat.completions.create({ model: served.model, messages, stream: true }));
  const pieces = chunks.map((chunk) => chunk.choices[0].delta.content).filter(Boolean);
  assert.deepEqual(pieces, [1, 2, 3, 4, 5].map((number) => `piece${number} `));
  assert.ok(chunks.every((chunk) => !chunk.usage));
});

test('a stream ends in the usage that was asked for', async (t) => {
  const served = target(t, 'openai');
  await served.script({ usage: { input: 7, output: 5 } });
  const request = { model: served.model, messages, stream: true, stream_options: { include_usage: true } };
  const last = (await all(await new OpenAI().chat.completions.create(request))).at(-1);
  assert.deepEqual(last.choices, []);
  assert.deepEqual([last.usage.prompt_tokens, last.usage.completion_tokens], [7, 5]);
});

test('parallel tool calls and their results make a conversation', async (t) => {
  const served = target(t, 'openai');
  await served.script({ tool_calls: twoCities });
  const client = new OpenAI();
  const asked = await client.chat.completions.create({ model: served.model, messages, tools, parallel_tool_calls: true });
  const { message } = asked.choices[0];
  assert.deepEqual(message.tool_calls.map((call) => JSON.parse(call.function.arguments)), cities);
  const results = message.tool_calls.map((call) => ({ role: 'tool', tool_call_id: call.id, content: '18 °C' }));
  const told = await client.chat.completions.create({ model: served.model, messages: [...messages, message, ...results], tools });
  assert.ok(told.choices[0].message.content);
});

test('the stream helper puts tool calls together', async (t) => {
  const served = target(t, 'openai');
  await served.script({ tool_calls: twoCities });
  const stream = new OpenAI().chat.completions.stream({ model: served.model, messages, tools });
  const final = await stream.finalChatCompletion();
  assert.deepEqual(final.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments)), cities);
});

test('an answer keeps to the schema that was given', async (t) => {
  const served = target(t, 'openai');
  const person = z.object({ name: z.string(), age: z.number(), tags: z.array(z.string()) });
  const response_format = zodResponseFormat(person, 'person');
  const answer = await new OpenAI().chat.completions.parse({ model: served.model, messages, response_format });
  assert.ok(person.safeParse(answer.choices[0].message.parsed).success);
});

test('embeddings are the same in both encodings', async (t) => {
  const served = target(t, 'openai');
  const client = new OpenAI();
  const request = { model: served.model, input: ['one', 'two'], dimensions: 16 };
  const packed = await client.embeddings.create(request);
  const plain = await client.embeddings.create({ ...request, encoding_format: 'float' });
  assert.deepEqual(packed.data.map((item) => item.embedding), plain.data.map((item) => item.embedding));
  assert.equal((await served.calls())[0].body.encoding_format, 'base64');
});

test('models are what the routes offer', async (t) => {
  const served = target(t, 'openai');
  const client = new OpenAI();
  const offered = (await all(client.models.list())).map((model) => model.id);
  assert.ok(offered.includes(served.name) && offered.includes(`org/${served.name}`));
  assert.equal((await client.models.retrieve(`org/${served.name}`)).id, `org/${served.name}`);
  await assert.rejects(client.models.retrieve('org/nothing'), OpenAI.NotFoundError);
});

test('several choices stay apart', async (t) => {
  const served = target(t, 'openai');
  const answer = await new OpenAI().chat.completions.create({ model: served.model, messages, n: 3 });
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2]);
});

test('many calls at once get their own answers', async (t) => {
  const served = target(t, 'openai');
  await served.script({ echo: true, chunk_ms: 1 });
  const client = new OpenAI();
  const ask = async (number) => {
    const request = { model: served.model, messages: [{ role: 'user', content: `I am number ${number}.` }] };
    if (number % 2) return (await client.chat.completions.create(request)).choices[0].message.content;
    const chunks = await all(await client.chat.completions.create({ ...request, stream: true }));
    return chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
  };
  const numbers = Array.from({ length: 24 }, (_, number) => number);
  assert.deepEqual(await Promise.all(numbers.map(ask)), numbers.map((number) => `I am number ${number}.`));
});

for (const timeout of [500, 1500]) {
  // This client tells its timeout in whole seconds: half a second is told as zero, which must not end the call at once for ever.
  test(`a timeout of ${timeout} ms reaches the provider`, async (t) => {
    const served = target(t, 'openai');
    await served.script({ latency_ms: 60_000 });
    const call = new OpenAI({ timeout, maxRetries: 0 }).chat.completions.create({ model: served.model, messages });
    await assert.rejects(call, (error) => error instanceof OpenAI.APIConnectionTimeoutError || error instanceof OpenAI.InternalServerError);
    assert.ok((await served.calls({ aborted: 1 }))[0].aborted);
  });
}

test('a timeout below a second leaves time for an answer', async (t) => {
  const served = target(t, 'openai');
  const answer = await new OpenAI({ timeout: 900, maxRetries: 0 }).chat.completions.create({ model: served.model, messages });
  assert.ok(answer.choices[0].message.content);
});

test('leaving a stream reaches the provider', async (t) => {
  const served = target(t, 'openai');
  await served.script({ chunks: 2, stall: { after_chunks: 1 } });
  const stream = await new OpenAI().chat.completions.create({ model: served.model, messages, stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  assert.ok((await served.calls({ aborted: 1 }))[0].aborted);
});

test('an aborted call reaches the provider', async (t) => {
  const served = target(t, 'openai');
  await served.script({ latency_ms: 60_000 });
  const controller = new AbortController();
  const call = new OpenAI().chat.completions.create({ model: served.model, messages }, { signal: controller.signal });
  const refused = assert.rejects(call, OpenAI.APIUserAbortError);
  await served.calls({ count: 1 });
  controller.abort();
  await refused;
  assert.ok((await served.calls({ aborted: 1 }))[0].aborted);
});

test('an error after the first words is told and nothing is said twice', async (t) => {
  const served = target(t, 'openai');
  await served.script({ chunks: 5, error_in_stream: { after_chunks: 2, type: 'server_error', message: 'It broke.' } });
  const heard = [];
  const stream = await new OpenAI().chat.completions.create({ model: served.model, messages, stream: true });
  await assert.rejects(async () => {
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) heard.push(chunk.choices[0].delta.content);
  }, OpenAI.APIError);
  assert.deepEqual(heard, ['piece1 ', 'piece2 ']);
  assert.equal((await served.calls()).length, 1);
});
