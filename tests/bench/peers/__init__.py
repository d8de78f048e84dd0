"""Others' software under the same load, on the same cores, in the same run: `make bench-peers`.

What they are is installed into `.run/peers` from lock files the first time.
"""
