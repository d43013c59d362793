#!/usr/bin/env bash
# phonenumbers 9.0.43: a Russian mobile number that has lost its last digit is a "possible" number of another subscriber.
#
# "8900123456" is 8 (the trunk prefix) and nine digits. The prefix is not taken off, because what is left would be too short;
# so 8 becomes the first digit of a number of ten, of code 890, which is_possible_number() lets pass. A prefix that stands
# twice is repaired in silence, and an extension is left out of E.164: two people get one number.
# Seen: 8900123456 -> +78900123456, possible True, valid False
#       +7 8 900 123-45-67 -> +79001234567, valid True
#       +7 495 123-45-67 доб. 1 and доб. 2 -> +74951234567 both, valid True; доп. 1 -> not a number
#
# Why it matters: cleaning a CRM's phones by is_possible_number(), as is advised for its speed, makes numbers of strangers.
# is_valid_number() refuses the first; the extension is to be looked at by hand.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check phonenumbers==9.0.43 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import sys

from phonenumbers import (
    NumberParseException,
    PhoneNumberFormat,
    format_number,
    is_possible_number,
    is_valid_number,
    parse,
)


def read(text):
    try:
        number = parse(text, "RU")
    except NumberParseException:
        return None
    return format_number(number, PhoneNumberFormat.E164), is_possible_number(number), is_valid_number(number)


expected = {
    "8900123456": ("+78900123456", True, False),
    "+7 8 900 123-45-67": ("+79001234567", True, True),
    "+7 495 123-45-67 доб. 1": ("+74951234567", True, True),
    "+7 495 123-45-67 доб. 2": ("+74951234567", True, True),
    "+7 495 123-45-67 доп. 1": None,
}
found = {text: read(text) for text in expected}
for text, each in found.items():
    print(text, "->", each)
sys.exit(found != expected)
PYTHON
