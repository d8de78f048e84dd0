"""`token` on real servers."""
