"""The page of this provider in Airflow's UI; ``plugin`` is what Airflow loads."""
