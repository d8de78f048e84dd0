"""Rate limits at the edge: how often an account and an address may try each path."""
