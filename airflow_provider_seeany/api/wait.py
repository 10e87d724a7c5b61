"""
One wait for one task, without a clock or I/O: it is fed with answers and trouble and says what to do next.

A waiting trigger, a poking sensor and a blocking loop all follow it, so that they cannot differ::

    reply ──> Wait.heard(reply, now) ──> Pause(seconds)   ask again after that
                                     ──> Finished         completed or failed, with the answer
                                     ──> Refused          asking again cannot succeed
                                     ──> TimedOut         the deadline has passed
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from airflow_provider_seeany.api.polling import LONGEST_ESTIMATE, Polling
from airflow_provider_seeany.api.task import SeeAnyTask, is_web_url
from airflow_provider_seeany.api.trouble import Kind, Trouble, cleaned

UNUSABLE_IN_A_ROW = 5
"""Fewest unusable answers one after the other that are believed: proxies produce one now and then, not several."""

UNUSABLE_FOR = 60.0
"""Fewest seconds between the first and the last of them: a proxy that is restarted repeats itself for a while."""

LAST_ROUND = 60.0
"""
Most seconds after the deadline for questions that are due or under way then.

Less than the time after which Airflow would end the deferral itself, with a message that tells nothing.
"""

VISIBLE_WITHIN = 30.0
"""
Seconds after the start of a wait in which a 404 means that the task is not visible yet: what created it, and what is
asked, may be different replicas of the service.
"""


LONGEST_RESULT_URL = 4096
"""Longest result URL, in characters, that a time-out names; signed ones are long."""

STALLED_AFTER = 600.0
"""Fewest seconds without a change of status and progress that are worth a line in the log."""

STALLED_BEYOND = 3
"""So many times as long as the service's estimate they have to last, too."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What was last seen of a running task.

    :param status: its status word.
    :param progress: per cent done.
    :param estimated_remaining: the service's estimate in seconds.
    :param at: when that was, in Unix seconds; ``None`` in waits that an older version of the provider began.
    :param result_url: the first result URL in the answer, which a running task should not have yet.
    :param had_result: whether there was one at all; ``result_url`` lacks what is too long.
    :param looks_ended: whether the status is an unknown word that reads as if the task had ended.
    :param unclear: the fields of the answer that could not be understood.
    """

    status: str
    progress: int | float | None = None
    estimated_remaining: int | float | None = None
    at: float | None = None
    result_url: str | None = None
    had_result: bool = False
    looks_ended: bool = False
    unclear: list[str] = []

    @classmethod
    def of(cls, task: SeeAnyTask, at: float) -> Sighting:
        """Return what this answer shows."""
        url = _result_url(task)
        return cls(
            status=shown_status(task.status),
            progress=task.progress,
            estimated_remaining=task.estimated_remaining,
            at=at,
            # It is stored with the trigger, and one that is cut off would lead nowhere.
            result_url=url if url is not None and len(url) <= LONGEST_RESULT_URL else None,
            had_result=url is not None,
            looks_ended=task.looks_ended,
            unclear=list(task.unclear),
        )

    def stalls_at(self, now: float) -> float:
        """Return when it is worth a line in the log that nothing else was seen since now."""
        estimate = min(self.estimated_remaining or 0, LONGEST_ESTIMATE)
        return now + max(STALLED_AFTER, STALLED_BEYOND * estimate)

    def __str__(self) -> str:
        text = self.status
        if self.progress is not None:
            text += f" {_shown(self.progress, 3)} %"
        if self.estimated_remaining is not None:
            text += f", about {_shown(self.estimated_remaining, 4)} s left"
        return text


def _shown(number: float, digits: int) -> str:
    """Write a number for a person: ``65``, ``42``, ``1e+30``; whole numbers can be too large to be floats."""
    try:
        return f"{number:.{digits}g}"
    except OverflowError:
        return "very many"


_USUAL_WHILE_RUNNING = frozenset({"id", "object", "status", "progress", "estimated_remaining"})


def _result_url(task: SeeAnyTask) -> str | None:
    return None if task.answer.keys() <= _USUAL_WHILE_RUNNING else task.early_result_url


def shown_status(status: str) -> str:
    """Return a status word for a person."""
    return cleaned(status, limit=60)


class Pause(msgspec.Struct, frozen=True):
    """Ask again after so many seconds."""

    seconds: float


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The task has ended, well or badly. ``answer`` is the service's own."""

    answer: dict[str, Any]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Asking again cannot succeed."""

    trouble: Trouble


class TimedOut(msgspec.Struct, frozen=True, tag="timed_out"):
    """
    The deadline passed first.

    :param last_seen: what was last seen of the task, for a person.
    :param last_trouble: why the last question brought no answer, for a person.
    :param result_url: a result URL that the last answer had, if it is not too long.
    :param had_result: whether the last answer had one at all.
    :param looks_ended: whether its status is an unknown word that reads as if the task had ended.
    """

    last_seen: str | None = None
    last_trouble: str | None = None
    result_url: str | None = None
    had_result: bool = False
    looks_ended: bool = False


class Misconfigured(msgspec.Struct, frozen=True, tag="misconfigured"):
    """The wait could not ask at all. ``text`` says what to change."""

    text: str


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """The wait broke off for a reason nobody thought of. ``text`` names it."""

    text: str


class BadId(msgspec.Struct, frozen=True, tag="bad_id"):
    """What was given cannot be a task's id. ``text`` says what to look at."""

    text: str


class Unrendered(msgspec.Struct, frozen=True, tag="unrendered"):
    """
    Nothing was asked: the trigger was given its templates as they are written in the DAG. A worker goes on.

    :param began: when the wait began, in Unix seconds.
    """

    began: float


Outcome = Finished | Refused | TimedOut | Misconfigured | BadId | Crashed
"""What a wait can end with. Plain JSON when encoded, as it travels from the triggerer to a worker."""


def encode_outcome(outcome: Outcome | Unrendered) -> dict[str, Any]:
    """Turn an outcome into plain JSON values."""
    encoded: dict[str, Any] = msgspec.to_builtins(outcome)
    return encoded


def decode_outcome(encoded: Mapping[str, Any]) -> Outcome:
    """
    Turn plain JSON values back into an outcome.

    :raises ValueError: if they are none, for example because a newer version wrote them.
    """
    outcome: Outcome = msgspec.convert(encoded, Outcome)
    return outcome


class Log(Protocol):
    """The part of a logger that a wait uses."""

    def info(self, msg: str, /, *args: object) -> Any:
        """Log a line for people who follow the wait."""

    def warning(self, msg: str, /, *args: object) -> Any:
        """Log a line for people who should look."""


def tell_completed(task: SeeAnyTask, name: str, log: Log) -> None:
    """
    Say in the log what a task brought.

    :param task: the completed task.
    :param name: its id, for a person.
    :param log: the log of the wait.
    """
    result = task.video_url or ", ".join(task.result_urls) or "no result URL"
    if task.video_url and not is_web_url(task.video_url):
        log.warning("The video_url of SeeAny task %s is no http(s) URL, so only return_value has it", name)
    cost = f"{task.usage.cost} {task.usage.cost_unit or ''}".strip() if task.usage.cost is not None else "?"
    log.info("SeeAny task %s completed: %s, cost %s", name, cleaned(result), cleaned(cost))


def tell_abandoned(about: str, log: Log) -> None:
    """
    Say in the log that nobody waits any more for what goes on, as somebody ended the wait.

    :param about: what was waited for, for a person.
    """
    log.warning(
        "The wait for %s was ended. What SeeAny does is left alone, as its API knows no cancelling: "
        "it may still finish and cost money",
        about,
    )


class Oddities:
    """
    Warns once of each status word that is not known, and once of each field that cannot be understood.

    :param seen: what an earlier part of the wait saw, and warned of.
    """

    def __init__(self, seen: Sighting | None = None) -> None:
        self._words = {seen.status} if seen else set()
        self._fields = set(seen.unclear) if seen else set()

    def notice(self, task: SeeAnyTask, log: Log) -> None:
        """Warn of what is odd about an answer, and was not before."""
        if new := [name for name in task.unclear if name not in self._fields]:
            self._fields.update(new)
            log.warning(
                "The answer about SeeAny task %s holds something in %s that cannot be understood, so it is left out",
                cleaned(task.id),
                ", ".join(new),
            )
        if not task.has_known_status and (word := shown_status(task.status)) not in self._words:
            self._words.add(word)
            log.warning(
                "SeeAny task %s has the status %s, which the API's documentation does not know; "
                "it counts as still running",
                cleaned(task.id),
                word,
            )


class Doubt:
    """Doubts unusable answers, until there were :data:`UNUSABLE_IN_A_ROW` for :data:`UNUSABLE_FOR`."""

    __slots__ = ("_in_a_row", "_since")

    def __init__(self) -> None:
        self._in_a_row = 0
        self._since = 0.0

    def is_over(self, reply: SeeAnyTask | Trouble, now: float) -> bool:
        """Take note of a reply and tell whether it is an unusable answer that has to be believed."""
        if not (isinstance(reply, Trouble) and reply.kind is Kind.UNUSABLE):
            self._in_a_row = 0
            return False
        if not self._in_a_row:
            self._since = now
        self._in_a_row += 1
        return self._in_a_row >= UNUSABLE_IN_A_ROW and now >= self._since + UNUSABLE_FOR


def credible(reply: SeeAnyTask | Trouble) -> SeeAnyTask | Trouble:
    """Return what a question brought, as trouble if it is an answer that cannot be true."""
    if not isinstance(reply, SeeAnyTask):
        return reply
    if reply.contradicts_itself:
        why = "the task in its data is not"
    elif reply.lacks_its_result:
        why = "the answer has no video_url, nor any other result"
    else:
        return reply
    return Trouble(
        kind=Kind.UNUSABLE,
        text=f"SeeAny says the {'video' if reply.is_video else 'task'} is completed, but {why}; it reads: "
        + cleaned(repr(dict(reply.answer)), limit=400),
    )


class Wait:
    """
    Follows one task until it ends, cannot be asked for, or the deadline passes. Logs on change only.

    :param seeany_task_id: the task waited for.
    :param polling: says how long to sleep between questions.
    :param deadline: when to give up, in Unix seconds; ``None`` for never.
    :param log: where to tell what changes.
    :param began: when the wait began, in Unix seconds; ``None`` if it asks for a task that must be visible by now.
    :param last_seen: what an earlier part of the same wait saw, if there was one.
    :param oddities: warns of what is odd; of its own unless waits that belong together share one.
    """

    # A batch has thousands of them.
    __slots__ = (
        "_deadline",
        "_doubt",
        "_in_trouble_since",
        "_log",
        "_name",
        "_oddities",
        "_polling",
        "_stalls_at",
        "_troubles_in_a_row",
        "_visible_by",
        "first_question_at",
        "last_seen",
        "last_trouble",
    )

    def __init__(
        self,
        seeany_task_id: str,
        *,
        polling: Polling,
        deadline: float | None,
        log: Log,
        began: float | None = None,
        last_seen: Sighting | None = None,
        oddities: Oddities | None = None,
    ) -> None:
        self.last_seen = last_seen
        self._name = cleaned(seeany_task_id)
        self.last_trouble: Trouble | None = None
        self._polling = polling
        self._deadline = deadline
        self._visible_by = float("-inf") if began is None else began + VISIBLE_WITHIN
        self._log = log
        self._in_trouble_since: float | None = None
        self._troubles_in_a_row = 0
        self._doubt = Doubt()
        self._stalls_at = float("inf")
        self._oddities = oddities or Oddities(last_seen)
        self.first_question_at: float | None = None
        """When the polling would ask first, in Unix seconds; ``None`` if an earlier part of the wait saw nothing."""
        if last_seen and last_seen.at is not None:
            self._stalls_at = last_seen.stalls_at(last_seen.at)
            # What the worker saw is an answer like any other: with it, one more tells how fast the estimate falls.
            self.first_question_at = last_seen.at + self._ask_polling(last_seen, last_seen.at)
            if deadline is not None:
                self.first_question_at = min(self.first_question_at, deadline)

    def heard(self, reply: SeeAnyTask | Trouble, now: float) -> Outcome | Pause:
        """
        Take note of what a question brought and say what to do next.

        :param reply: the answer, or why there was none.
        :param now: Unix seconds.
        """
        reply = credible(reply)
        is_believed = self._doubt.is_over(reply, now)
        if isinstance(reply, Trouble):
            return self._note_trouble(reply, now, is_believed=is_believed)
        self._note_answer(reply, now)
        if not reply.is_running:
            return Finished(dict(reply.answer))
        return self._pause(self._ask_polling(reply, now), now)

    @property
    def is_in_trouble(self) -> bool:
        """Whether the last question brought no answer."""
        return self._troubles_in_a_row > 0

    @property
    def looked_ended(self) -> bool:
        """Whether the last answer had a result, or read as if the task had ended, under a status that is no end."""
        return self.last_seen is not None and (self.last_seen.looks_ended or self.last_seen.had_result)

    def timed_out(self) -> TimedOut:
        """Return the outcome of a wait whose time is up."""
        seen = self.last_seen
        return TimedOut(
            last_seen=str(seen) if seen else None,
            last_trouble=str(self.last_trouble) if self._troubles_in_a_row and self.last_trouble else None,
            result_url=seen.result_url if seen else None,
            had_result=seen is not None and seen.had_result,
            looks_ended=seen is not None and seen.looks_ended,
        )

    def _ask_polling(self, answer: SeeAnyTask | Sighting, at: float) -> float:
        return self._polling.after_answer(
            estimated_remaining=answer.estimated_remaining, progress=answer.progress, now=at
        )

    def _pause(self, seconds: float, now: float) -> Pause | TimedOut:
        if self._deadline is None:
            return Pause(seconds)
        if now >= self._deadline:
            return self.timed_out()
        # The last question is asked at the deadline itself: a task that just made it is not lost.
        return Pause(min(seconds, self._deadline - now))

    def _note_answer(self, task: SeeAnyTask, now: float) -> None:
        if self._in_trouble_since is not None:
            self._log.info(
                "SeeAny answered again after %d failures in %.0f s",
                self._troubles_in_a_row,
                now - self._in_trouble_since,
            )
        self._in_trouble_since = None
        self._troubles_in_a_row = 0
        self._oddities.notice(task, self._log)
        if task.is_completed:
            tell_completed(task, self._name, self._log)
        elif task.is_failed:
            self._log.warning("SeeAny task %s failed: %s", self._name, task.failure_reason)
        else:
            self._note_running(Sighting.of(task, now), now)

    def _note_running(self, seen: Sighting, now: float) -> None:
        before = self.last_seen
        self.last_seen = seen
        # The estimate alone changes on every answer; a line for each would drown the log.
        if before is None or (before.status, before.progress) != (seen.status, seen.progress):
            self._log.info("SeeAny task %s: %s", self._name, seen)
            self._stalls_at = seen.stalls_at(now)
        elif now >= self._stalls_at:
            self._log.info("SeeAny task %s: %s, as for a long while; the wait goes on", self._name, seen)
            self._stalls_at = float("inf")

    def _note_trouble(self, trouble: Trouble, now: float, *, is_believed: bool) -> Outcome | Pause:
        self.last_trouble = trouble
        self._troubles_in_a_row += 1
        may_appear = trouble.kind is Kind.PERMANENT and trouble.http_status == 404 and now < self._visible_by
        if (trouble.kind is Kind.PERMANENT or is_believed) and not may_appear:
            return Refused(trouble)
        if self._in_trouble_since is None:
            self._in_trouble_since = now
            self._log.warning(
                "%s; %sasking for SeeAny task %s goes on",
                trouble,
                "it may not be visible yet, so " if may_appear else "",
                self._name,
            )
        seconds = self._polling.after_trouble(trouble, in_a_row=self._troubles_in_a_row)
        if may_appear:
            # Whether it is unknown for good is to be found out as soon as that can be told.
            seconds = min(seconds, self._visible_by - now)
        return self._pause(seconds, now)
