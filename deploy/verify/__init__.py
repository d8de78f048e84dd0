"""Tries a whole deployment: image, compose file, chart and cluster; prints what ran and what came of it."""
