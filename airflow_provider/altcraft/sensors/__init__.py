"""Sensors that wait for an action."""
