"""The histories of many profiles, requested in parallel and passed on in the order of the profiles."""
