"""All SQL of `token`."""
