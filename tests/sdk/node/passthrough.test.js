// Endpoints that no route decides about: forwarded as they are to the provider whose `passthrough.paths` names them.
import { strict as assert } from 'node:assert';
import { connect } from 'node:net';
import { test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { all, opaque } from './gateway.js';

test('a file goes up and comes back byte for byte', async () => {
  const client = new OpenAI();
  const content = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
  const file = await client.files.create({ file: await toFile(content, 'all bytes.bin'), purpose: 'user_data' });
  assert.deepEqual([file.bytes, file.filename], [content.length, 'all bytes.bin']);
  const back = Buffer.from(await (await client.files.content(file.id)).arrayBuffer());
  assert.ok(back.equals(content));
  assert.ok((await all(client.files.list())).some((one) => one.id === file.id));
});

test('speech becomes text', async () => {
  const sound = Buffer.alloc(100_000, 'RIFF');
  const file = await toFile(sound, 'speech.wav', { type: 'audio/wav' });
  const heard = await new OpenAI().audio.transcriptions.create({ model: 'whisper-1', file, language: 'en' });
  assert.ok(heard.text);
  const parts = (await opaque().calls()).at(-1).body.multipart;
  assert.equal(parts.find((part) => part.name === 'file').bytes, sound.length);
});

test('a realtime session speaks both ways', async () => {
  // This class writes `wss` whatever the base URL says; who speaks to a plain port says so here.
  const options = { createConnection: ({ host, port }) => connect(port, host) };
  const connection = await OpenAIRealtimeWS.create(new OpenAI(), { model: 'gpt-realtime', options });
  const heard = [];
  await new Promise((resolve, reject) => {
    connection.on('error', reject);
    connection.on('event', (event) => {
      heard.push(event.type);
      if (event.type === 'session.created') connection.send({ type: 'session.update', session: { type: 'realtime', instructions: 'Be brief.' } });
      if (event.type === 'session.updated') connection.send({ type: 'response.create' });
      if (event.type === 'response.done') resolve();
    });
  });
  connection.close();
  assert.deepEqual(heard, ['session.created', 'session.updated', 'response.done']);
});

test('what was passed through was what a provider accepts, with the key of the provider', async () => {
  const calls = await opaque().calls();
  assert.deepEqual(calls.flatMap((call) => call.complaints), []);
  assert.deepEqual([...new Set(calls.map((call) => call.headers.authorization))], ['Bearer sk-upstream-opaque']);
});

test('an endpoint that nobody names is not found and the error says what to write', async () => {
  await assert.rejects(new OpenAI().batches.list(), (error) => error instanceof OpenAI.NotFoundError && /passthrough/.test(error.message));
});
