"""The gateway behind real servers."""
