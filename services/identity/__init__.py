"""identity: who somebody is.

Owns users, their identifiers (canonical e-mail, phone in E.164, lower-case username), states and second factors (in
PostgreSQL; TOTP secrets encrypted), the security settings that operators change while everything runs, external
providers and whom they have signed in (there too), and open challenges, sign-ins that a provider was asked for, failed
attempts and the sources that accounts were signed in to from (in Redis, under keyed hashes).
Answers `identity.*.v1` (shared/contracts/identity.py, providers.py); tells of users created, suspended and deleted, and
of security settings that were changed.
Needs PostgreSQL and Redis, `password` and `otp` over the bus, and the providers that were configured over HTTPS.

A sign-in goes through these in order: the user, the limit on failed attempts, the password or a code, the second
factor, a new password where that is due. The attempt is counted before anything is compared. A provider takes the place
of the password; what it answers is checked in the package `providers`.

When something is gone it denies:

    PostgreSQL   nobody is recognised, nothing is changed; the security settings are those read last
    Redis        passwords of users without a second factor still count, under a stricter limit of each process; no code
                 and no second factor does, no challenge is made or met, no password is reset by a code; TOTP is neither
                 turned on nor off by its user; no source is known; no provider signs anybody in
    `password`   no password counts and none is changed; codes still count
    `otp`        no code by e-mail or SMS counts and none is sent, nor a link; passwords that cannot be sign-in codes
                 still count, and so does TOTP
    a provider   nobody signs in through it, and each who tries waits for `provider_seconds` at most
"""
