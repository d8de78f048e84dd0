"""The kit on real servers, and on servers that fail."""
