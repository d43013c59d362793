"""Triggers that wait for an action without holding a worker."""
