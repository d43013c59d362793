"""What smooths Airflow 2 and 3."""
