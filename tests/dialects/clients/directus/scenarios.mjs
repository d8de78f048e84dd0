// What people do with the official client: `node scenarios.mjs NAME` plays one of them and prints its name at the end.
// PLATFORM and INBOX are the addresses of the gateway and of the development inbox.

import assert from 'node:assert/strict'
import { authentication, createDirectus, passwordRequest, passwordReset, readMe, rest } from '@directus/sdk'
import fetchCookie from 'fetch-cookie'

const PLATFORM = process.env.PLATFORM
const INBOX = process.env.INBOX
const ADMIN = { email: 'admin@example.com', password: 'j8BDWYrQwDF5u4Yu' }
const LIFE = 900_000

/** A client of one mode with a browser's cookie jar; `calls` lists the paths it asked for, `called` awaits one. */
function open(mode, options = {}) {
  const withJar = fetchCookie(fetch)
  const calls = []
  const waiting = []
  const recording = async (url, request) => {
    const response = await withJar(url, request)
    calls.push(new URL(url).pathname)
    waiting.filter(({ path }) => path === calls.at(-1)).forEach(({ resolve }) => resolve(response))
    return response
  }
  const called = (path) => new Promise((resolve) => waiting.push({ path, resolve }))
  const client = createDirectus(PLATFORM, { globals: { fetch: recording } })
    .with(authentication(mode, { credentials: 'include', ...options }))
    .with(rest({ credentials: 'include' }))
  return { client, calls, called }
}

async function refused(promise, code, status) {
  const error = await promise.then(() => assert.fail('was not refused'), (reason) => reason)
  assert.equal(error.errors?.[0]?.extensions?.code, code, JSON.stringify(error))
  assert.ok(error.errors[0].message)
  assert.equal(error.response.status, status)
}

async function newest(address, after) {
  const query = new URLSearchParams({ to: address, after, wait: '20' })
  const messages = await (await fetch(`${INBOX}/messages.json?${query}`)).json()
  assert.ok(messages.length, `no message to ${address}`)
  return messages.reduce((one, other) => (other.number > one.number ? other : one))
}

async function signsInAndOut(mode) {
  const { client, calls } = open(mode)
  const login = await client.login(ADMIN)
  assert.equal(login.expires, LIFE)
  assert.equal('refresh_token' in login, mode === 'json')
  assert.equal((await client.request(readMe())).email, ADMIN.email)
  await client.getToken()
  assert.ok(!calls.includes('/auth/refresh'), 'a fresh token needs no refresh')
  const first = await client.getToken()
  await client.refresh()
  if (mode !== 'session') assert.notEqual(await client.getToken(), first)
  assert.equal((await client.request(readMe())).email, ADMIN.email)
  await client.logout()
  assert.equal(await client.getToken(), null)
  await refused(client.request(readMe()), 'INVALID_CREDENTIALS', 401)
}

async function refreshesByItself(mode) {
  // The client wakes so many milliseconds before the end of its token: a tenth of a second from now.
  const { client, called } = open(mode, { msRefreshBeforeExpires: LIFE - 100 })
  await client.login(ADMIN)
  const first = await client.getToken()
  assert.equal((await called('/auth/refresh')).status, 200)
  assert.equal((await called('/auth/refresh')).status, 200)
  assert.notEqual(await client.getToken(), first)
  assert.equal((await client.request(readMe())).email, ADMIN.email)
  await client.logout()
}

async function resetsThePassword(mode, owner) {
  const { client } = open(mode)
  await client.login(owner)
  const { number } = await newest(owner.email, '0').catch(() => ({ number: 0 }))
  await client.request(passwordRequest(owner.email))
  const [, token] = (await newest(owner.email, String(number))).text.match(/[?&]token=([\w.-]+)/)
  const password = 'a new password of some length'
  await client.request(passwordReset(token, password))
  await refused(client.login(owner), 'INVALID_CREDENTIALS', 401)
  await refused(client.request(passwordReset(token, password)), 'FORBIDDEN', 403)
  await client.login({ ...owner, password })
  assert.equal((await client.request(readMe())).email, owner.email)
  await client.logout()
}

const scenarios = {
  'signs in and out, json': () => signsInAndOut('json'),
  'signs in and out, cookie': () => signsInAndOut('cookie'),
  'signs in and out, session': () => signsInAndOut('session'),
  'refreshes by itself, json': () => refreshesByItself('json'),
  'refreshes by itself, cookie': () => refreshesByItself('cookie'),
  'resets the password, json': () =>
    resetsThePassword('json', { email: 'someone@example.com', password: 'def56789' }),
  'resets the password, cookie': () =>
    resetsThePassword('cookie', { email: 'phoned@example.com', password: 'Secret123' }),

  async 'is told what went wrong'() {
    const { client } = open('json')
    await refused(client.login({ ...ADMIN, password: 'wrong' }), 'INVALID_CREDENTIALS', 401)
    await refused(client.login({ email: 'nobody@example.com', password: 'wrong' }), 'INVALID_CREDENTIALS', 401)
    await refused(client.request(readMe()), 'INVALID_CREDENTIALS', 401)
    await refused(client.request(passwordRequest(ADMIN.email, 'https://evil.example/')), 'INVALID_PAYLOAD', 400)
  },

  async 'asks for the second factor'() {
    const { client } = open('json')
    const otto = { email: 'otto@example.com', password: 'Otto-Pass-1234' }
    await refused(client.login(otto), 'INVALID_OTP', 401)
    await refused(client.login(otto, { otp: process.env.WRONG_OTP }), 'INVALID_OTP', 401)
    await client.login(otto, { otp: process.env.OTP })
    assert.equal((await client.request(readMe())).email, otto.email)
    await client.logout()
  },
}

const name = process.argv[2]
await scenarios[name]()
console.log(name)
