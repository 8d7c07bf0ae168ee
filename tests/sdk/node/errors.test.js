// One row for each exception that the SDKs document, with the number of calls that reached the provider: the SDK's own retries, which are
// on here, must not multiply those of the route.
import Anthropic from '@anthropic-ai/sdk';
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import OpenAI from 'openai';
import { all, table, target } from './gateway.js';

const messages = [{ role: 'user', content: 'Say hello.' }];
const sdks = {
  openai: { errors: OpenAI, ask: (options, request) => new OpenAI(options).chat.completions.create(request) },
  anthropic: { errors: Anthropic, ask: (options, request) => new Anthropic(options).messages.create({ max_tokens: 100, ...request }) },
};

/** One call with a client of the environment, to its end. */
async function call(client, model, { stream = false, ...options } = {}) {
  const answer = await sdks[client].ask(options, { model, messages, stream });
  return stream ? all(answer) : answer;
}

/** The error that a call ends in. */
async function failure(client, ...more) {
  return call(client, ...more).then(
    () => assert.fail('the call succeeded'),
    (error) => error,
  );
}

for (const row of table('errors.json')) {
  for (const client of Object.keys(sdks)) {
    for (const provider of Object.keys(sdks)) {
      for (const stream of [false, true]) {
        test(`${row.name}: ${client} on ${provider}, ${stream ? 'stream' : 'unary'}`, async (t) => {
          const served = target(t, provider);
          await served.script(row.script);
          const error = await failure(client, served.model, { stream });
          assert.ok(error instanceof sdks[client].errors[row.class], `${error.constructor.name}: ${error.message}`);
          assert.equal((await served.calls()).length, row.calls);
          if (row.status) assert.equal(error.status, row.status);
          if (row.code && client === 'openai') assert.equal(error.code, row.code);
          assert.equal(error.headers.get('x-should-retry'), 'false');
          assert.ok(error.requestID);
        });
      }
    }
  }
}

for (const client of Object.keys(sdks)) {
  const { errors } = sdks[client];

  test(`a model that no route has is not found: ${client}`, async () => {
    const error = await failure(client, 'no-such-model');
    assert.ok(error instanceof errors.NotFoundError);
    assert.match(error.message, /no-such-model/);
  });

  test(`a data plane that is not there is a connection error: ${client}`, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    const name = `${client.toUpperCase()}_BASE_URL`;
    const before = process.env[name];
    process.env[name] = `http://127.0.0.1:${port}`;
    try {
      const error = await failure(client, 'any', { maxRetries: 0 });
      assert.ok(error instanceof errors.APIConnectionError);
    } finally {
      process.env[name] = before;
    }
  });

  // The client says that it would wait for a minute and then does not, so that the data plane cannot be the one that gives up.
  test(`a client that waits no longer times out by itself: ${client}`, async (t) => {
    const served = target(t, client);
    await served.script({ latency_ms: 60_000 });
    const defaultHeaders = { 'x-stainless-timeout': '60' };
    const error = await failure(client, served.model, { timeout: 500, maxRetries: 0, defaultHeaders });
    assert.ok(error instanceof errors.APIConnectionTimeoutError, String(error));
    assert.ok((await served.calls({ aborted: 1 }))[0].aborted);
  });
}
