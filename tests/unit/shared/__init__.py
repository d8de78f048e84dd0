"""The kit without servers."""
