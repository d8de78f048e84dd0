"""otp: one-time codes and their way to the people they are for.

Owns the live codes (in Redis, as keyed hashes; a code and its account are nowhere readable) and their deliveries.
Answers `otp.*.v1` (shared/contracts/otp.py), to `identity` alone; hears its own `otp.delivery_requested.v1`.
Needs Redis and PostgreSQL, an SMTP server and an SMS provider.

When something is gone it denies: without Redis no code is made and none counts; without PostgreSQL none is made,
while those already sent still count; without the mail server or the SMS provider codes wait in a queue and are tried
again while they live.

A code is for one purpose and never accepted for another. Those for signing in, for a second factor and for a reset of
the password are a few digits, whose attempts are counted. A link that resets the password carries 256 bits that nobody
can guess, so that nothing is counted and nobody can be locked out of it.

A repeated request. Two wishes meet: a client that lost the answer and asks again must not cause a second message, and
a person who waits in vain and asks again must get one, with the same code, since the first may be still on its way.
What tells them apart is time, counted from the earlier message or from the code's making:

    within repeat_seconds (10) of a message to the same address   nothing is sent, unless that message failed
    within resend_seconds (60) of the code's making               the same code is sent again, with its first expiry
    after that                                                    a new code; the earlier one is dead

How many text messages may be sent, and to whom, is in sms_budget.
"""
