"""Turns phone numbers as people write them into the platform's form."""

from __future__ import annotations

import re

_REGION = re.compile(r"[A-Z]{2}")


def check_region(region: str) -> None:
    """Refuse a text that is not two letters, without looking the region up.

    Raises:
        ValueError: it is not two capital letters.
    """
    if not _REGION.fullmatch(region):
        raise ValueError(f"phone_region: expected two letters of a country such as 'RU', got {region!r}")


class PhoneReader:
    """Reads phone numbers by the rules of a country's numbering plan.

    Args:
        region: the country of numbers without a country code.

    Raises:
        ValueError: there is no such region.
        ImportError: phonenumbers is not installed.
    """

    def __init__(self, region: str) -> None:
        try:
            import phonenumbers
        except ImportError as error:
            raise ImportError(
                "phone_region: phonenumbers is needed: pip install 'airflow-provider-altcraft[phone]'"
            ) from error
        check_region(region)
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"phone_region: there is no region {region!r}")
        self._library = phonenumbers
        self._region = region

    def read(self, text: str) -> str | None:
        """Return the number as ``+79000000000``; ``None`` where it is not exactly one number of the numbering plan.

        A number with an extension is none: the platform's form has no place for it, and whose it is would be lost.
        """
        library = self._library
        try:
            number = library.parse(text, self._region)
        except library.NumberParseException:
            return None
        if number.extension or not library.is_valid_number(number):
            return None
        form: str = library.format_number(number, library.PhoneNumberFormat.E164)
        return form
