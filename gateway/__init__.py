"""The gateway: the one part that clients reach.

It translates: a dialect's request becomes one call to `token` or `identity`, the reply or the error becomes the
dialect's answer. It never sees a hash and never signs a token.

When something is gone it says so at once: 503 with `Retry-After` in the dialect of the path. Keys that it has fetched
go on verifying while `token` is away, and access tokens are introspected from memory for a while.
"""
