"""The command line on a real broker."""
