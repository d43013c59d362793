#!/usr/bin/env bash
# charset-normalizer 3.5.3 takes an everyday windows-1251 table of customers for another encoding, and more text does not help.
#
# A column of phones under the header "Телефон" is taken for Japanese (shift_jis_2004). 300 rows with names, cities, phones
# and e-mails are taken for mac_cyrillic: letters come out as other Cyrillic letters ("амили€" for "Фамилия"), with no error.
# chardet 7.7.0 says Windows-1251 to both, but with a confidence of 0.04 and 0.14.
# Seen: short -> shift_jis_2004, long -> mac_cyrillic
#
# Why it matters: a reader with encoding="auto" (requests uses this library as well) turns identifiers into other ones in
# silence. The encoding of a file is to be said, not guessed.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check charset-normalizer==3.5.3 chardet==7.7.0 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import sys

import chardet
from charset_normalizer import from_bytes

people = "\r\n".join(f"Иванова;Анна;Москва;7900123{number:04};user{number}@example.com" for number in range(300))
texts = {
    "short": "Телефон\r\n79001234567\r\n79001234568\r\n",
    "long": f"Фамилия;Имя;Город;Телефон;Почта\r\n{people}",
}
wrong = 0
for name, text in texts.items():
    best = from_bytes(text.encode("cp1251")).best()
    other = chardet.detect(text.encode("cp1251"))
    print(name, "->", best and best.encoding, repr(str(best)[:20]), "| chardet", other["encoding"], other["confidence"])
    wrong += best is not None and str(best) != text
sys.exit(wrong != 2)
PYTHON
