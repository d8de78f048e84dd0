"""What `identity` asks external providers, over HTTP: OAuth 2 (RFC 6749, RFC 7636) and OpenID Connect.

Nothing here knows users. Whatever a provider answers is a stranger's word until it was checked: `wrong_password` says
that it did not hold, `unavailable` that there was no answer that makes sense.
"""
