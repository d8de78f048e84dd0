"""What identity keeps, in PostgreSQL and in Redis."""
