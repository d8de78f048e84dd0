// Keeps everything that oidc-provider stores in Redis, behind the interface that its documentation gives to adapters.

import { Redis } from 'ioredis'

// What is used up by its first use: a hash, so that `consumed` can be set without reading it first.
const CONSUMED = new Set([
  'AuthorizationCode',
  'BackchannelAuthenticationRequest',
  'DeviceCode',
  'PreAuthorizedCode',
  'PushedAuthorizationRequest',
  'RefreshToken',
])
// What ends together with the grant it came from.
const GRANTED = new Set([
  'AccessToken',
  'AuthorizationCode',
  'BackchannelAuthenticationRequest',
  'DeviceCode',
  'PreAuthorizedCode',
  'RefreshToken',
])

/** A function that yields the adapter of each model, all over one connection. `options` are those of ioredis. */
export function redisAdapter(url, options = {}) {
  const redis = new Redis(url, { keyPrefix: 'oidc:', ...options })
  return (model) => new RedisAdapter(redis, model)
}

class RedisAdapter {
  constructor(redis, model) {
    this.redis = redis
    this.model = model
  }

  async upsert(id, payload, seconds) {
    const key = this.#key(id)
    const document = JSON.stringify(payload)
    const indexes = [payload.userCode && byUserCode(payload.userCode), this.model === 'Session' && byUid(payload.uid)]
    const steps = this.redis.multi()
    if (CONSUMED.has(this.model)) {
      steps.hset(key, 'payload', document)
      if (seconds) steps.expire(key, seconds)
    } else if (seconds) {
      steps.set(key, document, 'EX', seconds)
    } else {
      steps.set(key, document)
    }
    for (const index of indexes.filter(Boolean)) {
      if (seconds) steps.set(index, id, 'EX', seconds)
      else steps.set(index, id)
    }
    if (GRANTED.has(this.model) && payload.grantId) {
      const members = byGrant(payload.grantId)
      steps.rpush(members, key)
      if (seconds) {
        // As long as the longest of its members: NX for the first one, GT for those after it.
        steps.expire(members, seconds, 'NX')
        steps.expire(members, seconds, 'GT')
      }
    }
    succeeded(await steps.exec())
  }

  async find(id) {
    if (!CONSUMED.has(this.model)) return parsed(await this.redis.get(this.#key(id)))
    const [document, consumed] = await this.redis.hmget(this.#key(id), 'payload', 'consumed')
    const payload = parsed(document)
    return payload && consumed ? { ...payload, consumed: Number(consumed) } : payload
  }

  async findByUid(uid) {
    return this.#findBy(byUid(uid))
  }

  async findByUserCode(userCode) {
    return this.#findBy(byUserCode(userCode))
  }

  async consume(id) {
    await this.redis.hset(this.#key(id), 'consumed', Math.floor(Date.now() / 1000))
  }

  async destroy(id) {
    await this.redis.del(this.#key(id))
  }

  async revokeByGrantId(grantId) {
    const members = byGrant(grantId)
    await this.redis.del(members, ...(await this.redis.lrange(members, 0, -1)))
  }

  async #findBy(index) {
    const id = await this.redis.get(index)
    return id === null ? undefined : this.find(id)
  }

  #key(id) {
    return `${this.model}:${id}`
  }
}

const byGrant = (id) => `grant:${id}`
const byUid = (uid) => `uid:${uid}`
const byUserCode = (code) => `userCode:${code}`
const parsed = (document) => (document ? JSON.parse(document) : undefined)

function succeeded(answers) {
  const error = answers.map(([reason]) => reason).find(Boolean)
  if (error) throw error
}
