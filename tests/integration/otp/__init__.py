"""`otp` on a real PostgreSQL and Redis, with a real SMTP server and SMS endpoint."""
