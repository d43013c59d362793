"""The history of a whole database, walked by ranges of days and of ``xxh``."""
