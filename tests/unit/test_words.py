"""Plain technical English: the dialect that this project once had stays out of its package, docs and tests."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORMER = "reset_amid_body"  # a documented name, which stays importable
FOLDERS = ["airflow_provider", "benchmarks", "docs", "example_dags", "findings", "scripts", "tests"]
WORDS = re.compile(
    r"(?<![a-z])(amid|anew|befalls?|beside|mend(s|ed|ing)?|meanwhile|told|whoever"
    r"|(is|are) wanted|in vain|(has|have) gone)(?![a-z])",
    re.IGNORECASE,
)


def test_the_words_to_avoid_stay_out() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".sh"}]
    files += [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    assert len(files) > 300
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in files
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in WORDS.finditer(line.replace(FORMER, ""))
    ]
    assert found == [], "write expected, during, next to, again, fix, reported … instead"
