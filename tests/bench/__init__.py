"""What is measured rather than tested; each is started by a target of the Makefile, never by pytest."""
