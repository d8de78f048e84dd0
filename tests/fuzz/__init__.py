"""Cases that nobody thought of: requests to every operation of the description, and turns of sessions.

`make test` tries some of them, the same ones each time; `make fuzz` tries as many as one likes.
"""
