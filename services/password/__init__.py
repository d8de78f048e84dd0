"""Keeps password hashes and decides which passwords are good enough.

Owns the schema `password`: one hash per user, nothing else of a user.
Answers `identity` alone: verify, set, check a password against the policy, import a hash made elsewhere
(shared/contracts/password.py); never shows a hash.
Tells with `password.password_changed.v1`, committed together with the hash, that a password was replaced by another.
Needs PostgreSQL and the broker; keeps nothing in Redis and hears no events.
Fails closed: without PostgreSQL every call is `unavailable` and no password is right; with more work than its threads
can do it says `overloaded` at once. A failed rehash spoils nothing and comes round again at the next sign-in.
"""
