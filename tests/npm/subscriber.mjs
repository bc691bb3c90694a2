// A subscriber as frontend teams write one: graphql-ws or graphql-sse, which moves `since` on with every event.
//
// Started as `node subscriber.mjs SETTINGS` with { transport, url, tokens, query, since, retries } as JSON. It tells what
// happens to it in lines of JSON on standard output, and is told what to do in words on standard input:
//   retry   the client's own next attempt to connect, of which there are at most `retries`, may go on
//   again   a new client takes over from the last position
// It ends with its standard input.

import { createInterface } from 'node:readline';
import { createClient as createStreamClient } from 'graphql-sse';
import { createClient as createSocketClient } from 'graphql-ws';
import WebSocket from 'ws';

const settings = JSON.parse(process.argv[2]);
const variables = { since: settings.since };
const tokens = [...settings.tokens];
let waiting = [];

function tell(what) {
  process.stdout.write(JSON.stringify(what) + '\n');
}

// Each connection takes the next token, the last one for as long as there are connections.
function authorization() {
  return { Authorization: `Bearer ${tokens.length > 1 ? tokens.shift() : tokens[0]}` };
}

// What the clients call before they connect again.
function allowed() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    tell({ event: 'waiting' });
  });
}

function socketClient() {
  return createSocketClient({
    url: settings.url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: authorization,
    retryAttempts: settings.retries,
    retryWait: allowed,
    on: {
      connected: () => tell({ event: 'connected' }),
      closed: (closed) => tell({ event: 'closed', code: closed.code, reason: closed.reason }),
    },
  });
}

function streamClient() {
  return createStreamClient({
    url: settings.url,
    headers: authorization,
    retryAttempts: settings.retries,
    retry: allowed,
    on: { connected: () => tell({ event: 'connected' }) },
  });
}

function subscribe() {
  const client = settings.transport === 'graphql-ws' ? socketClient() : streamClient();
  client.subscribe(
    { query: settings.query, variables },
    {
      next: (result) => {
        const [value] = Object.values(result.data ?? {});
        variables.since = value?.position ?? variables.since;
        tell({ event: 'next', value, errors: result.errors });
      },
      error: (error) => tell({ event: 'error', code: error.code, message: error.message ?? error[0]?.message }),
      complete: () => tell({ event: 'complete' }),
    },
  );
}

const doing = {
  retry: () => waiting.shift()(),
  again: subscribe,
};

createInterface({ input: process.stdin })
  .on('line', (line) => doing[line]())
  .on('close', () => process.exit());
subscribe();
