"""What stands around the platform: servers for development and tests, the inbox, `make run`."""
