"""The password service on a real PostgreSQL."""
