"""identity: who somebody is.

Owns users and their identifiers (canonical e-mail, phone in E.164, lower-case username) and their states.
Answers `identity.*.v1` (shared/contracts/identity.py); tells of users created, suspended, and passwords changed.
Needs PostgreSQL, and `password` and `otp` over the bus.

When something is gone it denies: without PostgreSQL nobody is recognised; without `password` no password counts,
while codes still do; without `otp` no code counts, while passwords that cannot be codes still do.
"""
