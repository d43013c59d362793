"""The command line: ``airflow altcraft …``, and ``python -m airflow_provider.altcraft …`` where Airflow is 2.11."""
