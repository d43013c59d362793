"""Operators that write profiles' action history to a target."""
