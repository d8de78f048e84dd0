// oidc-provider as somebody else's OpenID provider: what it keeps is in memory, its pages are those that it ships.
//
// `node provider.mjs` with CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS and ACCOUNTS in its environment, the last two in
// JSON; an account is the claims of whoever types its name, with any password. When it listens it prints one line of
// JSON: its issuer.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

const { CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS, ACCOUNTS } = process.env
const accounts = new Map(Object.entries(JSON.parse(ACCOUNTS)))
const server = createServer()
server.listen(0, '127.0.0.1')
await once(server, 'listening')
// By name, while the platform goes by number: another site, as a provider is, so that cookies travel as they will.
const issuer = `http://localhost:${server.address().port}`

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: JSON.parse(REDIRECT_URIS),
      id_token_signed_response_alg: 'ES256',
    },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  findAccount: (ctx, sub) => accounts.has(sub) && { accountId: sub, claims: () => ({ sub, ...accounts.get(sub) }) },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', kid: 'first', use: 'sig' }] },
  pkce: { required: () => true },
})
provider.on('server_error', (ctx, error) => console.error(error))
server.on('request', provider.callback())
console.log(JSON.stringify({ issuer }))
