"""Differences between Airflow 2 and 3, and access to Airflow's connections."""
