"""The messages of the platform: calls (imperative) and events (past tense), one file per owner.

`identity` has two: its external providers are told of by themselves.

The law inside v1: only optional fields with defaults are added, readers ignore unknown ones, nothing is renamed,
retyped or reused. Anything else is a v2 beside v1. Golden files in tests/contract make a break red.
"""
