// Clients of one dialect on routes whose target speaks the other.
import Anthropic from '@anthropic-ai/sdk';
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import OpenAI from 'openai';
import { all, cities, target, twoCities } from './gateway.js';

const messages = [{ role: 'user', content: 'Say hello.' }];
const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const openaiTools = [{ type: 'function', function: { name: 'weather', description: 'The weather.', parameters: schema } }];
const anthropicTools = [{ name: 'weather', description: 'The weather.', input_schema: schema }];
const usage = { input: 7, output: 5, cached_read: 3 };
const pieces = [1, 2, 3].map((number) => `piece${number} `);

test('an Anthropic client gets a unary answer of an OpenAI target', async (t) => {
  const served = target(t, 'openai');
  await served.script({ text: 'Hello there.', usage });
  const answer = await new Anthropic().messages.create({ model: served.model, messages, max_tokens: 100, system: 'Be brief.' });
  assert.equal(answer.content[0].text, 'Hello there.');
  assert.deepEqual([answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read_input_tokens], [7, 5, 3]);
});

test('an Anthropic client gets a stream of an OpenAI target', async (t) => {
  const served = target(t, 'openai');
  await served.script({ chunks: 3, usage });
  const heard = [];
  const stream = new Anthropic().messages.stream({ model: served.model, messages, max_tokens: 100 }).on('text', (piece) => heard.push(piece));
  const final = await stream.finalMessage();
  assert.deepEqual(heard, pieces);
  assert.deepEqual([final.stop_reason, final.usage.input_tokens, final.usage.output_tokens], ['end_turn', 7, 5]);
});

test('an Anthropic client gets streamed tool calls of an OpenAI target', async (t) => {
  const served = target(t, 'openai');
  await served.script({ tool_calls: twoCities });
  const stream = new Anthropic().messages.stream({ model: served.model, messages, max_tokens: 100, tools: anthropicTools });
  const final = await stream.finalMessage();
  assert.deepEqual(final.content.filter((block) => block.type === 'tool_use').map((use) => use.input), cities);
  assert.equal(final.stop_reason, 'tool_use');
});

test('an OpenAI client gets a unary answer of an Anthropic target', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ text: 'Hello there.', usage });
  const answer = await new OpenAI().chat.completions.create({ model: served.model, messages });
  assert.equal(answer.choices[0].message.content, 'Hello there.');
  assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens], [10, 5]);
});

test('an OpenAI client gets a stream of an Anthropic target', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ chunks: 3 });
  const chunks = await all(await new OpenAI().chat.completions.create({ model: served.model, messages, stream: true }));
  assert.deepEqual(chunks.map((chunk) => chunk.choices[0]?.delta.content).filter(Boolean), pieces);
});

test('an OpenAI client gets streamed tool calls of an Anthropic target', async (t) => {
  const served = target(t, 'anthropic');
  await served.script({ tool_calls: twoCities });
  const stream = new OpenAI().chat.completions.stream({ model: served.model, messages, tools: openaiTools });
  const final = await stream.finalChatCompletion();
  assert.deepEqual(final.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments)), cities);
  assert.equal(final.choices[0].finish_reason, 'tool_calls');
});
