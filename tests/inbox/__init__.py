"""The development inbox, as a real process with real clients."""
