// An authorization server, as mail providers have one: PKCE is demanded, and a refresh token is good for one use; who
// comes with one that was used loses the whole grant.
//
// Started as `node oidc.mjs SETTINGS` with { redirectUri, clientId, clientSecret, lifetime } as JSON, the lifetime being
// an access token's in seconds. It tells what happens to it in lines of JSON on standard output, and is told what to do
// in words on standard input:
//   hold     token requests are worked on, and not answered until `release`
//   break    token requests are answered with 503 until `mend`
//   tell     nothing, after everything that there was to be told before
// It ends with its standard input.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const held = [];
let holding = false;
let broken = false;

function tell(what) {
  process.stdout.write(JSON.stringify(what) + '\n');
}

function configuration() {
  return {
    clients: [
      {
        client_id: settings.clientId,
        client_secret: settings.clientSecret,
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [settings.redirectUri],
        token_endpoint_auth_method: 'client_secret_post',
      },
      // A mail server, which asks whether a token is good.
      {
        client_id: 'mail-server',
        client_secret: settings.clientSecret,
        grant_types: [],
        response_types: [],
        redirect_uris: [],
      },
    ],
    cookies: { keys: ['of tests'] },
    features: { devInteractions: { enabled: true }, introspection: { enabled: true, allowedPolicy: () => true } },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    scopes: ['openid', 'offline_access', 'mail'],
    ttl: {
      AccessToken: settings.lifetime,
      AuthorizationCode: 60,
      Grant: 3600,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: 3600,
      Session: 3600,
    },
  };
}

function serve(url) {
  const provider = new Provider(url, configuration());
  const told = (ctx, error) => tell({ event: 'token', grant: ctx.oidc.params?.grant_type, error: error?.error });
  provider.on('grant.success', (ctx) => told(ctx));
  provider.on('grant.error', told);
  provider.use(async (ctx, next) => {
    const isToken = ctx.path === '/token';
    if (isToken && broken) {
      ctx.status = 503;
      return;
    }
    await next();
    if (isToken && holding) {
      await new Promise((resolve) => held.push(resolve));
    }
  });
  return provider.callback();
}

const doing = {
  hold: () => (holding = true),
  release: () => {
    holding = false;
    held.splice(0).forEach((answer) => answer());
  },
  break: () => (broken = true),
  mend: () => (broken = false),
  tell: () => {},
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  server.on('request', serve(url));
  tell({ event: 'listening', url });
});

createInterface({ input: process.stdin })
  .on('line', (line) => {
    doing[line]();
    tell({ event: line });
  })
  .on('close', () => process.exit());
