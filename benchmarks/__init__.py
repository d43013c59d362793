"""The provider against what users would otherwise pick: ``make bench``, ``make bench-quick``."""
