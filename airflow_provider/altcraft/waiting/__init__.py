"""Conditions and the state of a wait. Works without Airflow; sensors, triggers and operators share it."""
