"""The five components as real processes on real servers."""
