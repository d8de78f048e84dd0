"""Clients that others wrote, unchanged, against the running platform: what they can't do, nobody's can."""
