"""Tests of the command's own rules."""
