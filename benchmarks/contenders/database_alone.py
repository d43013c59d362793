"""Decode and write of a whole database's pages, which are in memory when the clock starts."""

from __future__ import annotations

from benchmarks.answers import FIRST_DAY, LAST_DAY, Answers
from benchmarks.contenders._parts import Away, decode
from benchmarks.job import Job


def prepare(job: Job) -> list[bytes]:
    """All pages."""
    answers = Answers(job.profiles, job.events)
    pages: list[bytes] = []
    cursor = ""
    while True:
        _, _, body = answers.page(FIRST_DAY, LAST_DAY, cursor, 1000).partition(b"\r\n\r\n")
        cursor = body.rpartition(b'"next_from_id":"')[2].rstrip(b'"}').decode()
        if b'"data":[]' in body[:20]:
            return pages
        pages.append(body)


def run(job: Job, pages: list[bytes]) -> None:
    """Decode and write."""
    with Away(job) as away:
        for page in pages:
            away.add(decode(page, "", ""))
