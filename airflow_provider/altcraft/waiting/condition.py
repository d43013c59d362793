"""The condition of a wait, and the check of events against it, for the sensor and its trigger alike."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_provider.altcraft._arguments import from_json, is_template
from airflow_provider.altcraft.client._actions import CHANNELS
from airflow_provider.altcraft.client._nearest import did_you_mean

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import HistoryEvent

log = logging.getLogger(__name__)

Match: TypeAlias = Literal["any", "all"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``waiting``, ``met`` by these events, or ``failed`` by this one."""

    state: Literal["waiting", "met", "failed"]
    events: Sequence[HistoryEvent] = ()


@dataclass(frozen=True, slots=True)
class ActionCondition:
    """Actions that a profile must have done.

    Attributes:
        actions: names of actions; any string, since the platform's set is open.
        match: whether ``any`` of the actions is enough or ``all`` must be there.
        min_count: how often, by the rows' ``count``: all matching actions together for ``any``, each for ``all``.
        message_id: only actions on this message count.
        campaign_id: only actions of this campaign count.
        fail_on: actions that end the wait as failed, whatever message they are of.
    """

    actions: tuple[str, ...]
    match: Match = "any"
    min_count: int = 1
    message_id: int | None = None
    campaign_id: int | None = None
    fail_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        for name in ("actions", "fail_on"):
            value = getattr(self, name)
            # A set has no order of its own: each process would serialize another.
            listed = sorted(value, key=str) if isinstance(value, set | frozenset) else value or ()
            names = (value,) if isinstance(value, str) else tuple(listed)
            # Any name is allowed, except with characters of a list that was rendered to a text.
            if not all(isinstance(action, str) and re.fullmatch(r"[^\s\[\]{}'\",]+", action) for action in names):
                raise ValueError(f"{name}: expected names of actions such as 'form_post', got {value!r}")
            # Plain strings, as JSON and repr show a member of Action differently.
            object.__setattr__(self, name, tuple(str(action) for action in names))
        if not self.actions:
            raise ValueError("actions: expected at least one, got none")
        if both := set(self.actions) & set(self.fail_on):
            raise ValueError(f"fail_on: {min(both)!r} is also waited for in actions")
        if self.match not in ("any", "all"):
            raise ValueError(f"match: expected 'any' or 'all', got {self.match!r}")
        if not isinstance(self.min_count, int) or self.min_count < 1:
            raise ValueError(f"min_count: expected 1 or more, got {self.min_count}")

    def warn_of_undocumented(self) -> None:
        """Log each name that the platform does not document."""
        warn_of_undocumented(self.actions)
        warn_of_undocumented(self.fail_on, "fail_on")

    @property
    def names(self) -> frozenset[str]:
        """All actions that can change the wait."""
        return frozenset(self.actions + self.fail_on)

    @property
    def words(self) -> str:
        """The condition in words, such as ``'open' and 'click' of campaign 7``."""
        what = (" or " if self.match == "any" else " and ").join(map(repr, self.actions))
        times = f" {self.min_count} times" if self.min_count > 1 else ""
        of = [f"{name} {value}" for name, value in (("message", self.message_id), ("campaign", self.campaign_id))
              if value is not None]  # fmt: skip
        return what + times + (f" of {' of '.join(of)}" if of else "")

    def verdict(self, events: Iterable[HistoryEvent]) -> Verdict:
        """Return the verdict on events, taken in the order of their time.

        The earliest moment decides, so the outcome does not depend on when anybody polled. At the same moment, being
        met goes before having failed.
        """
        met: list[HistoryEvent] = []
        counts: Counter[str] = Counter()
        contrary: HistoryEvent | None = None
        named = {*self.actions, *self.fail_on}
        # Of a long history only these are worth the sorting.
        found = [event for event in events if event.action in named]
        for event in sorted(found, key=lambda event: event.datetime):
            if contrary is not None and event.datetime > contrary.datetime:
                break
            if self._counts(event):
                met.append(event)
                counts[event.action] += event.count
                if self._is_met(counts):
                    return Verdict("met", met)
            elif event.action in self.fail_on and contrary is None:
                contrary = event
        return Verdict("waiting") if contrary is None else Verdict("failed", [contrary])

    def to_json(self) -> dict[str, Any]:
        """Return the condition as plain JSON, for a trigger's argument."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ActionCondition:
        """Return the condition of ``to_json``, also after it went through a database."""
        return cls(**value)

    def _counts(self, event: HistoryEvent) -> bool:
        return (
            event.action in self.actions
            and self.message_id in {None, event.message_id}
            and self.campaign_id in {None, event.campaign_id}
        )

    def _is_met(self, counts: Counter[str]) -> bool:
        if self.match == "all":
            return all(counts[action] >= self.min_count for action in self.actions)
        return counts.total() >= self.min_count


def quorum_of(quorum: float | str | None, profiles: int | None) -> int:
    """Return how many of a cohort are required.

    Args:
        quorum: a whole number from 1 on, a share (a fraction below 1, or a text such as ``50%``), or ``None`` for all;
            also as the text that a template renders to.
        profiles: how many the cohort has; ``None`` where that is not known yet.

    Raises:
        ValueError: it is neither, or more than there are profiles; or there are no profiles.
    """
    wrong = ValueError(
        f"quorum: expected a whole number from 1 on, a share above 0 and below 1, or a text such as '50%', "
        f"got {quorum!r}"
    )
    if profiles == 0:
        raise ValueError("profiles: expected at least one to wait for, got none")
    if quorum is None:
        return profiles or 1
    try:
        text = str(quorum).strip()
        share = Fraction(text.removesuffix("%")) / 100 if text.endswith("%") else Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise wrong from None
    whole = not isinstance(quorum, float) and re.fullmatch(r"[0-9]+", text) is not None
    if isinstance(quorum, bool) or share <= 0 or not (whole or share < 1 or (text.endswith("%") and share == 1)):
        raise wrong
    if whole:
        if profiles is not None and share > profiles:
            raise ValueError(f"quorum: expected no more than there are profiles, {profiles}, got {text}")
        return int(share)
    return ceil(share * (profiles or 1))


def warn_of_undocumented(actions: Iterable[str], argument: str = "actions") -> None:
    """Warn of each action that the platform does not document: it may be new, or misspelt and never met."""
    for name in sorted(set(actions) - CHANNELS.keys()):
        log.warning("%s: %r is not a documented action%s", argument, name, did_you_mean(name, CHANNELS))


def warn_of_names(arguments: Mapping[str, Any]) -> None:
    """Warn of undocumented actions in a sensor's constant arguments; those of templates are known later."""
    for argument in ("actions", "fail_on"):
        value = arguments.get(argument) or ()
        if not is_template(value):
            found = from_json(value, argument)
            names = found if isinstance(found, list | tuple | set | frozenset) else [found]
            warn_of_undocumented([each for each in names if isinstance(each, str)], argument)


def whole_second(instant: dt.datetime) -> dt.datetime:
    """Return the instant cut to its second: old installations send no fraction, and events of that second count."""
    return instant.replace(microsecond=0)
