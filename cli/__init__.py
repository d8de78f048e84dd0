"""The `dragoman` command: runs components, migrates, and does operators' work over the bus."""
