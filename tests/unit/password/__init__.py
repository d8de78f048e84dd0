"""The password service without its database."""
