"""The floor: bare sockets in one thread, then the provider's own decode and write, and nothing else."""

from __future__ import annotations

from benchmarks import raw
from benchmarks.answers import email_of
from benchmarks.contenders._parts import Away, decode
from benchmarks.job import Job


def run(job: Job) -> None:
    """Pull and write."""
    with Away(job) as away:

        def take(number: int, body: bytes) -> None:
            away.add(decode(body, "email", email_of(number)))

        raw.fetch(job.url, range(job.profiles), job.connections, take)
