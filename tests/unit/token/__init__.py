"""Rules of `token`."""
