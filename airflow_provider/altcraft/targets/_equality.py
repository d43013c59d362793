"""When two targets are the same."""

from __future__ import annotations


class EqualByArguments:
    """An object that is like another of its kind with the same arguments, and has no hash: rendering changes them."""

    def __eq__(self, other: object) -> bool:
        """Compare kind and arguments."""
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]
