"""Keeps password hashes and decides which passwords are good enough.

Owns the schema `password`: one hash per user, nothing else of a user.
Answers `identity` alone: verify, set, import a hash made elsewhere (shared/contracts/password.py); never shows a hash.
Needs PostgreSQL and the broker; keeps nothing in Redis, emits and hears no events.
Fails closed: without PostgreSQL every call is `unavailable` and no password is right; with more work than its threads
can do it says `overloaded` at once. A failed rehash spoils nothing and comes round again at the next sign-in.
"""
