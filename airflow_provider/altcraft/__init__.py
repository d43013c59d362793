"""Apache Airflow provider for the Altcraft Platform (unofficial)."""

__version__ = "0.1.0"
