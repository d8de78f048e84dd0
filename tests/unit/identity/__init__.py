"""Rules of `identity`."""
