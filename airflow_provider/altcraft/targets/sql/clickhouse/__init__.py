"""A table of ClickHouse, which has no transactions: staged next to the table, and put in place day by day."""
