"""The rules of tokens: no clock, no store, no bus."""
