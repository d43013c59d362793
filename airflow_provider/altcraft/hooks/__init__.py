"""Airflow's way to the client: the connection."""
