// The Vercel AI SDK. Its OpenAI provider speaks the Responses API unless it is asked for `chat`; its Anthropic provider appends
// `/messages` without a version to the base URL.
import { APICallError, embedMany, generateText, Output, stepCountIs, streamText, tool } from 'ai';
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { z } from 'zod';
import { all, target, twoCities } from './gateway.js';

// They read the environment when they are loaded, which is why they are loaded after it is set.
const { anthropic } = await import('@ai-sdk/anthropic');
const { openai } = await import('@ai-sdk/openai');

const models = { openai: (served) => openai.chat(served.model), anthropic: (served) => anthropic(served.model) };
const person = z.object({ name: z.string(), age: z.number() });

for (const dialect of Object.keys(models)) {
  const model = models[dialect];

  test(`text: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    await served.script({ text: 'Hello there.', usage: { input: 7, output: 5 } });
    const { text, usage } = await generateText({ model: model(served), prompt: 'Say hello.' });
    assert.deepEqual([text, usage.inputTokens, usage.outputTokens], ['Hello there.', 7, 5]);
  });

  test(`a stream: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    await served.script({ chunks: 4 });
    const { textStream } = streamText({ model: model(served), prompt: 'Say hello.' });
    assert.deepEqual(await all(textStream), [1, 2, 3, 4].map((number) => `piece${number} `));
  });

  test(`tools in two steps: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    await served.script({ tool_calls: twoCities });
    const asked = [];
    const weather = tool({
      description: 'The weather.',
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => {
        asked.push(city);
        return '18 °C';
      },
    });
    const { text, steps } = await generateText({ model: model(served), prompt: 'Oslo or Quito?', tools: { weather }, stopWhen: stepCountIs(2) });
    assert.deepEqual(asked.sort(), ['Oslo', 'Quito']);
    assert.equal(steps.length, 2);
    assert.ok(text);
  });

  test(`an object: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    const { output } = await generateText({ model: model(served), prompt: 'Who is it?', output: Output.object({ schema: person }) });
    assert.ok(person.safeParse(output).success);
  });

  // This SDK decides about retries by the status alone; with none of its own there are those of the route.
  test(`an error: ${dialect}`, async (t) => {
    const served = target(t, dialect);
    await served.script({ status: 500 });
    await assert.rejects(generateText({ model: model(served), prompt: 'Say hello.', maxRetries: 0 }), (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.ok(error.statusCode >= 500);
      return true;
    });
    assert.equal((await served.calls()).length, 3);
  });
}

test('embeddings', async (t) => {
  const served = target(t, 'openai');
  const { embeddings } = await embedMany({ model: openai.embedding(served.model), values: ['one', 'two'] });
  assert.deepEqual(embeddings.map((vector) => vector.length), [8, 8]);
});
