"""Stores of objects: the local disk, and those of Airflow's connections."""
