"""The report of the faults, by itself."""
