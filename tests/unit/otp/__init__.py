"""Unit tests of `otp`."""
