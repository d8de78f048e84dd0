"""Rules about the whole source."""
