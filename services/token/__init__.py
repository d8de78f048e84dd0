"""token: where proof becomes tokens.

Owns OAuth clients and their secrets, signing keys, sessions (refresh families) and, with them, who is signed in.
Answers `token.*.v1` (shared/contracts/token.py); tells of sessions that end; hears of suspended users and changed
passwords, and ends their sessions, whichever dialect they are of.
What differs from dialect to dialect is in `domain/dialects.py`.
Needs PostgreSQL, and `identity` over the bus for sign-ins and for refreshing in the enterprise dialect.

When something is gone it denies: without PostgreSQL nothing is issued; without `identity` nobody signs in, nor
refreshes in the enterprise dialect, whose tokens name the user, while clients and all other refresh tokens go on.
"""
