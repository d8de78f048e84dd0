// oidc-provider as an operator would run it: one process, everything that lasts in Redis, no logs of its own.
//
// `node provider.mjs` with REDIS_URL, ISSUER, CLIENT_ID, CLIENT_SECRET and SESSIONS in its environment. When it listens
// it prints one line of JSON: its port, and as many refresh tokens as SESSIONS says, each of a user and a grant of its
// own, written as a sign-in in a browser would have left them. PIPELINED=yes has ioredis send together what one turn of
// the loop asks of Redis, which as it ships it does not.
//
// Three clients share the secret. What they get is a JWT of ES256 (CLIENT_ID), a JWT of RS256 (CLIENT_ID-rs256), or an
// opaque token (CLIENT_ID-opaque), the only kind that this library introspects.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Provider } from 'oidc-provider'
import { redisAdapter } from './redis_adapter.mjs'

const { REDIS_URL, ISSUER, CLIENT_ID, CLIENT_SECRET, SESSIONS, PIPELINED } = process.env
const ALGORITHMS = { [CLIENT_ID]: 'ES256', [`${CLIENT_ID}-rs256`]: 'RS256' }
const ACCESS_SECONDS = 3600
const REFRESH_SECONDS = 14 * 86_400
const SCOPE = 'read'

const client = (id) => ({
  client_id: id,
  client_secret: CLIENT_SECRET,
  token_endpoint_auth_method: 'client_secret_post',
  grant_types: ['client_credentials', 'refresh_token', 'authorization_code'],
  response_types: ['code'],
  redirect_uris: ['https://client.example.com/callback'],
})

const key = (alg, ...how) => ({
  ...generateKeyPairSync(...how).privateKey.export({ format: 'jwk' }),
  alg,
  kid: alg,
  use: 'sig',
})

const provider = new Provider(ISSUER, {
  adapter: redisAdapter(REDIS_URL, { enableAutoPipelining: PIPELINED === 'yes' }),
  clients: [...Object.keys(ALGORITHMS), `${CLIENT_ID}-opaque`].map(client),
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  jwks: { keys: [key('ES256', 'ec', { namedCurve: 'P-256' }), key('RS256', 'rsa', { modulusLength: 2048 })] },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: ACCESS_SECONDS,
    ClientCredentials: ACCESS_SECONDS,
    Grant: REFRESH_SECONDS,
    RefreshToken: REFRESH_SECONDS,
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, { clientId }) => (clientId in ALGORITHMS ? ISSUER : undefined),
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource, { clientId }) => ({
        scope: SCOPE,
        accessTokenFormat: 'jwt',
        accessTokenTTL: ACCESS_SECONDS,
        jwt: { sign: { alg: ALGORITHMS[clientId] } },
      }),
    },
  },
})
provider.on('server_error', (ctx, error) => console.error(error))

/** The refresh token of a new user who has granted the client everything. */
async function session(number) {
  const accountId = `user-${number}`
  const client = await provider.Client.find(CLIENT_ID)
  const grant = new provider.Grant({ accountId, clientId: CLIENT_ID })
  grant.addResourceScope(ISSUER, SCOPE)
  const grantId = await grant.save()
  const token = new provider.RefreshToken({
    accountId,
    client,
    grantId,
    gty: 'authorization_code',
    resource: ISSUER,
    scope: SCOPE,
  })
  return token.save()
}

const refreshTokens = await Promise.all(Array.from({ length: Number(SESSIONS) }, (_, number) => session(number)))
const server = provider.listen(0, '127.0.0.1')
await once(server, 'listening')
console.log(JSON.stringify({ port: server.address().port, refresh_tokens: refreshTokens }))
