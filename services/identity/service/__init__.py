"""What identity does, one method per call."""
