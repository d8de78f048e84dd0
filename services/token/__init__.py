"""token: where proof becomes tokens.

Owns OAuth clients and their secrets, signing keys, sessions (refresh families) and, with them, who is signed in.
Answers `token.*.v1` (shared/contracts/token.py); tells of sessions that end; hears of suspended users and changed
passwords, and ends their sessions.
Needs PostgreSQL, and `identity` over the bus for the password grant alone.

When something is gone it denies: without PostgreSQL nothing is issued; without `identity` nobody signs in with a
password, while clients and refresh tokens go on.
"""
