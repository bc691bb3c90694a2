// A server's process, as server.py describes it: graphql-ws with graphql-js and ws, which are installed in tests/npm.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(new URL('../../tests/npm/package.json', import.meta.url));
const { buildSchema } = require('graphql');
const { useServer } = require('graphql-ws/use/ws');
const { WebSocketServer } = require('ws');

const schema = buildSchema(`
  type Message { id: ID! text: String! sentAt: String! }
  type MessageAdded { position: String! message: Message! }
  type Query { nothing: Boolean }
  type Subscription { messageAdded: MessageAdded! }
`);

const subscribers = new Set();

async function* messageAdded() {
  const subscriber = { queue: [], wake: () => {} };
  subscribers.add(subscriber);
  try {
    while (true) {
      while (subscriber.queue.length > 0) {
        yield { messageAdded: subscriber.queue.shift() };
      }
      await new Promise((resolve) => {
        subscriber.wake = resolve;
      });
    }
  } finally {
    subscribers.delete(subscriber);
  }
}

function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

// The clock of Python's time.monotonic().
function now() {
  return Number(process.hrtime.bigint()) / 1e9;
}

function emit({ messages }) {
  const at = now();
  const emitted = { committed: at, told: at, cpu: cpu() };
  for (const message of messages) {
    for (const subscriber of subscribers) {
      subscriber.queue.push(message);
      subscriber.wake();
    }
  }
  return emitted;
}

function memory() {
  globalThis.gc();
  return { memory: process.memoryUsage.rss() };
}

const doing = { emit, memory, cpu: () => ({ cpu: cpu() }) };

function say(answer) {
  process.stdout.write(JSON.stringify(answer) + '\n');
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/', perMessageDeflate: false, backlog: 2048 });
useServer({ schema, roots: { subscription: { messageAdded } } }, server);
server.on('listening', () => say({ port: server.address().port, path: '/', inits: [{}] }));
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    say(doing[command.do](command));
  })
  .on('close', () => process.exit());
