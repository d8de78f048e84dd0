"""Tests of how the platform is deployed."""
