"""The one error of this package."""


class ServerError(Exception):
    """A server could not be provided; the message says what to do about it."""
