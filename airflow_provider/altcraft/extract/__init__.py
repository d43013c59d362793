"""From profiles to a bounded stream of Arrow batches. Works without Airflow."""
