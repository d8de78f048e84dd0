"""`identity` on real servers."""
