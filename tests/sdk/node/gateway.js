// The data plane under test and the scripted providers behind it, as real processes; one pair for each test file.
// It must never point a client anywhere by argument: SDKs find the data plane as in production, by their environment alone.
import { spawn } from 'node:child_process';
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const suite = dirname(dirname(fileURLToPath(import.meta.url)));
const targetsPerDialect = 120;
const binary = process.env.OUTRIGGER_BIN ?? join(suite, '..', '..', 'target', 'debug', 'outrigger');
const shared = (name) => readFileSync(join(suite, name), 'utf8');

const folder = mkdtempSync(join(tmpdir(), 'outrigger-sdk-'));
const processes = [];
process.on('exit', () => processes.forEach((child) => child.kill('SIGKILL')));
after(stop);

const proxy = await witness();
const mock = `127.0.0.1:${(await start('mock', ['--listen', '127.0.0.1:0'])).data}`;
const unused = configure(join(folder, 'config'));
const listen = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
const { data } = await start('dev', ['-f', join(folder, 'config'), ...listen]);
enter(`http://127.0.0.1:${data}`);

/** A scripted provider with a route of its own; what it received by the end of test `t` must be what a provider accepts. */
export function target(t, dialect) {
  const made = provider(unused[dialect].pop());
  t.after(async () => {
    assert.deepEqual((await made.calls()).flatMap((call) => call.complaints), []);
    assert.equal(proxy.asked, 0, 'a call to the loopback went to the proxy');
  });
  return made;
}

/** The provider behind the pass-through: one for all tests. */
export const opaque = () => provider('opaque');

/** Reads a shared table of the suites. */
export const table = (name) => JSON.parse(shared(name));

/** Two tool calls as a script and as what a client must make of them. */
export const cities = [{ city: 'Oslo' }, { city: 'Quito' }];
export const twoCities = cities.map((city) => ({ name: 'weather', arguments: city }));

/** All of a stream's events. */
export async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

function provider(name) {
  return {
    name,
    /** What clients ask for. */
    model: name,
    /** What the provider is asked for, and names in its answers. */
    upstreamModel: `${name}-upstream`,
    /** Says how the provider behaves from now on. */
    script: (behaviour) => control('PUT', `behaviour/${name}`, behaviour),
    /** The calls so far; with `{count: n}` or `{aborted: n}`, once so many arrived or were given up. */
    calls: (wait = {}) => control('GET', `calls/${name}?${new URLSearchParams(wait)}`),
  };
}

async function control(method, path, body) {
  const asked = request(`http://${mock}/_mock/${path}`, { method });
  asked.end(body && JSON.stringify(body));
  const [answer] = await once(asked, 'response');
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  assert.ok(answer.statusCode < 300, `the mock refuses: ${text}`);
  return text ? JSON.parse(text) : undefined;
}

async function start(name, options) {
  const ports = join(folder, `${name}-ports.json`);
  const path = join(folder, `${name}.log`);
  const log = openSync(path, 'w');
  const child = spawn(binary, [name, ...options, '--ports-file', ports], { stdio: ['ignore', log, log] });
  closeSync(log);
  let failure;
  child.on('error', (error) => (failure = error));
  processes.push(child);
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline && child.exitCode === null && !failure) {
    try {
      return JSON.parse(readFileSync(ports, 'utf8'));
    } catch {
      await pause(10);
    }
  }
  throw new Error(`\`outrigger ${name}\` did not come up: ${failure ?? ''}\n${readFileSync(path, 'utf8')}`);
}

async function stop() {
  for (const child of processes.reverse()) {
    if (child.exitCode !== null || child.pid === undefined) continue;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const impatience = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(impatience);
  }
  proxy.close();
  rmSync(folder, { recursive: true });
}

function configure(config) {
  mkdirSync(config);
  writeFileSync(join(config, 'passthrough.yaml'), shared('passthrough.yaml').replaceAll('MOCK', mock));
  const template = shared('target.yaml').replaceAll('MOCK', mock);
  const names = {};
  for (const dialect of ['openai', 'anthropic']) {
    names[dialect] = Array.from({ length: targetsPerDialect }, (_, number) => `${dialect}-${number}`);
    for (const name of names[dialect]) {
      writeFileSync(join(config, `${name}.yaml`), template.replaceAll('NAME', name).replaceAll('DIALECT', dialect));
    }
  }
  return names;
}

/** The environment of an application in a pod, in a company with a proxy; nothing of the caller's own may change what is tested. */
function enter(url) {
  for (const name of Object.keys(process.env)) {
    if (/^(OPENAI|ANTHROPIC|LANGCHAIN|LANGSMITH)_|_PROXY$/i.test(name)) delete process.env[name];
  }
  for (const name of ['HTTP_PROXY', 'http_proxy']) process.env[name] = proxy.url;
  for (const name of ['NO_PROXY', 'no_proxy']) process.env[name] = '127.0.0.1,localhost';
  process.env.OPENAI_BASE_URL = `${url}/v1`;
  process.env.OPENAI_API_KEY = 'sk-outrigger';
  process.env.ANTHROPIC_BASE_URL = url;
  process.env.ANTHROPIC_API_KEY = 'sk-outrigger';
}

/** Stands where the environment says that a proxy is: it serves nobody and counts who asks. */
async function witness() {
  const server = createServer((socket) => {
    seen.asked += 1;
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const seen = { asked: 0, url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
  return seen;
}
