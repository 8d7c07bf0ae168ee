// LangChain's chat models and embeddings, which bring their own ideas of defaults.
import { ChatAnthropic } from '@langchain/anthropic';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { z } from 'zod';
import { all, cities, target, twoCities } from './gateway.js';

const person = z.object({ name: z.string(), age: z.number() });
const weather = tool(async ({ city }) => `It rains in ${city}.`, {
  name: 'weather',
  description: 'The weather.',
  schema: z.object({ city: z.string() }),
});
const models = {
  openai: (served, more) => new ChatOpenAI({ model: served.model, ...more }),
  anthropic: (served, more) => new ChatAnthropic({ model: served.model, ...more }),
};

for (const dialect of Object.keys(models)) {
  test(`invoke: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    await served.script({ text: 'Hello there.', usage: { input: 7, output: 5 } });
    const answer = await models[dialect](served).invoke('Say hello.');
    assert.deepEqual([answer.text, answer.usage_metadata.input_tokens, answer.usage_metadata.output_tokens], ['Hello there.', 7, 5]);
  });

  test(`stream: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    await served.script({ chunks: 3 });
    const chunks = await all(await models[dialect](served).stream('Say hello.'));
    assert.deepEqual(chunks.map((chunk) => chunk.text).filter(Boolean), [1, 2, 3].map((number) => `piece${number} `));
  });

  test(`tools: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    await served.script({ tool_calls: twoCities });
    const model = models[dialect](served).bindTools([weather]);
    const asked = await model.invoke('Oslo or Quito?');
    assert.deepEqual(asked.tool_calls.map((call) => call.args), cities);
    const results = await Promise.all(asked.tool_calls.map((call) => weather.invoke(call)));
    assert.ok((await model.invoke([{ role: 'user', content: 'Oslo or Quito?' }, asked, ...results])).text);
  });

  test(`structured output: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    assert.ok(person.safeParse(await models[dialect](served).withStructuredOutput(person).invoke('Who is it?')).success);
  });
}

test('embeddings', async (t) => {
  const served = target(t, 'openai');
  const vectors = await new OpenAIEmbeddings({ model: served.model }).embedDocuments(['one', 'two']);
  assert.deepEqual(vectors.map((vector) => vector.length), [8, 8]);
});
