"""
One wait for many tasks, without a clock or I/O: it says whom to ask about when, is fed with what that brought, and
adds up the results.

Each task is followed by a :class:`~airflow_provider_seeany.api.wait.Wait` of its own, so that a task in a batch is
judged as any other. What is added here is that all of them share one pace: they wait for their turns, as
:mod:`~airflow_provider_seeany.api.turns` says, which come ``max_requests_per_second`` apart::

    Batch.next_question(now) ──> "vid_1"         ask about this one now, then tell heard()
                             ──> Pause(seconds)  nothing to ask yet; ask again after that, or after the next reply
    Batch.outcome(now)       ──> None            go on
                             ──> BatchResult     every task has ended, or the first failure ends the batch
                             ──> BatchTimedOut   the deadline has passed
                             ──> Refused         the key was refused, so that every other question would be, too
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, Literal

import msgspec

from airflow_provider_seeany.api.polling import FixedInterval, TrustGated
from airflow_provider_seeany.api.request import BadSettings, BadTaskId, checked_task_id, cut
from airflow_provider_seeany.api.task import SeeAnyTask, web_url
from airflow_provider_seeany.api.trouble import Kind, Trouble, cleaned
from airflow_provider_seeany.api.turns import Turns
from airflow_provider_seeany.api.wait import (
    LAST_ROUND,
    BadId,
    Crashed,
    Finished,
    Log,
    Misconfigured,
    Pause,
    Refused,
    StatusWords,
    TimedOut,
    Wait,
)

MOST_TASKS = 10_000
"""Most tasks of one batch."""

MOST_RESULT_BYTES = 48 * 1024
"""Largest result, as JSON, that is handed to Airflow, which keeps it in its database."""

BETWEEN_LOG_LINES = 30.0
"""Fewest seconds between two lines about the progress, and between two warnings."""

OUTAGE = 5
"""After so many questions in a row without an answer, whomever they were about, the next answer is worth a line."""

SHOWN_UNFINISHED = 20
"""Most ids that a time-out names."""

SHOWN_REASON = 200
"""Longest reason, in characters, that is kept of a failure."""

LONGEST_PAUSE = 3600.0
"""Most seconds to pause where nothing is due and there is no deadline."""

NO_CURRENCY = "?"
"""Where costs without a currency are added up."""

_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}


class Failure(msgspec.Struct, frozen=True):
    """
    A task of a batch that brought no result.

    :param id: the task's id.
    :param reason: why, for a person.
    """

    id: str
    reason: str


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, tag="batch_result"):
    """
    What a batch ended with. Never larger than :data:`MOST_RESULT_BYTES` as JSON.

    :param total: how many different tasks were asked for.
    :param completed: how many were completed.
    :param failed: how many failed, or are not known to the service.
    :param cost: what the completed ones cost together, by currency.
    :param detail: what ``tasks`` holds: whole answers, a table of the main fields, or nothing.
    :param tasks: the completed tasks in the order asked.
    :param failures: the others in the order asked; the first of them, should there be too many.
    """

    total: int
    completed: int
    failed: int
    cost: dict[str, float]
    detail: Literal["answers", "table", "totals"]
    tasks: list[dict[str, Any]]
    failures: list[Failure]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {name: msgspec.to_builtins(getattr(self, name)) for name in self.__struct_fields__}


class BatchTimedOut(msgspec.Struct, frozen=True, kw_only=True, tag="batch_timed_out"):
    """
    The deadline passed first.

    :param total: how many different tasks were asked for.
    :param done: how many had ended.
    :param unfinished: the first of the ids that had not.
    :param last_trouble: the last question that brought no answer, for a person.
    """

    total: int
    done: int
    unfinished: list[str]
    last_trouble: str | None = None


BatchOutcome = BatchResult | BatchTimedOut | Refused | Misconfigured | BadId | Crashed
"""What a batch can end with. Plain JSON when encoded, as it travels from the triggerer to a worker."""


def decode_batch_outcome(encoded: Mapping[str, Any]) -> BatchOutcome:
    """
    Turn plain JSON values back into an outcome.

    :raises ValueError: if they are none, for example because a newer version wrote them.
    """
    outcome: BatchOutcome = msgspec.convert(encoded, BatchOutcome)
    return outcome


def checked_task_ids(value: object) -> list[str]:
    """
    Return the different ids of a list, in its order.

    :param value: a list, or text that holds one as JSON or as a Python literal, which is what templates render to.
    :raises BadTaskId: if it is no list, holds more than :data:`MOST_TASKS`, or something in it cannot be an id; the
        text names the place.
    """
    hint = "Look at the XCom of the upstream task that should have delivered the ids."
    if isinstance(value, str):
        value = _list_in(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise BadTaskId(f"seeany_task_ids must be a list of ids, got {type(value).__name__}. {hint}")
    if len(value) > MOST_TASKS:
        raise BadTaskId(
            f"seeany_task_ids holds {len(value)} ids, more than the {MOST_TASKS} that one batch may have. Split it."
        )
    ids = (checked_task_id(item, name=f"seeany_task_ids[{place}]") for place, item in enumerate(value))
    return list(dict.fromkeys(ids))


def _list_in(text: str) -> object:
    """Read a list out of a rendered template."""
    if "{{" in text or "{%" in text:
        raise BadTaskId(f"seeany_task_ids is still a template, {cut(text)!r}: it was never rendered.")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise BadTaskId(
            f"seeany_task_ids is {cut(text)!r}, which is no list of ids as JSON or as a Python literal."
        ) from None


def numeral(number: int) -> str:
    """Write a count for a person: ``1 240``."""
    return f"{number:,}".replace(",", " ")


class Costs:
    """Adds up what tasks cost, exactly, each currency for itself."""

    def __init__(self) -> None:
        self._totals: dict[str, Decimal] = {}

    def add(self, task: SeeAnyTask) -> None:
        """Add a task's cost, if its answer tells one."""
        if task.usage.cost is not None:
            unit = cleaned(task.usage.cost_unit or "", limit=20) or NO_CURRENCY
            # Through its text: the float 0.7 is not quite seven tenths, what the service wrote is.
            self._totals[unit] = self._totals.get(unit, Decimal()) + Decimal(str(task.usage.cost))

    def totals(self) -> dict[str, float]:
        """Return the sums by currency, as JSON numbers."""
        most = sys.float_info.max
        return {unit: max(min(float(total), most), -most) for unit, total in self._totals.items()}

    def __str__(self) -> str:
        return " + ".join(_amount(unit, total) for unit, total in self._totals.items())


def _amount(unit: str, total: Decimal) -> str:
    exponent = total.normalize().as_tuple().exponent
    decimals = min(max(-exponent, 2), 6) if isinstance(exponent, int) else 2
    number = f"{total:,.{decimals}f}".replace(",", " ") if total.adjusted() < 18 else f"{total:.3e}"
    return f"{_SIGNS[unit]}{number}" if unit in _SIGNS else f"{number} {unit}"


class _Kept:
    """JSON values by their place, forgotten as soon as all of them together are too large to be handed on."""

    def __init__(self) -> None:
        self._values: dict[int, dict[str, Any]] = {}
        self.size = 0

    def keep(self, place: int, value: dict[str, Any]) -> None:
        self.size += _size(value)
        if self.size > MOST_RESULT_BYTES:
            self._values.clear()
        else:
            self._values[place] = value

    def in_order(self) -> list[dict[str, Any]]:
        return [self._values[place] for place in sorted(self._values)]


def _size(value: object) -> int:
    """Return the bytes that a value takes in a list, written as Airflow writes it."""
    return len(json.dumps(value)) + 2


class Results:
    """
    What the tasks of a batch brought so far, kept no larger than can be handed on.

    :param ids: the tasks, in the order asked.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._ended = bytearray(len(ids))
        self._answers = _Kept()
        self._table = _Kept()
        self._reasons: dict[int, str] = {}
        self._costs = Costs()
        self.completed = 0

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return len(self._ids)

    @property
    def costs(self) -> dict[str, float]:
        """What the completed ones cost together, by currency."""
        return self._costs.totals()

    @property
    def failed(self) -> int:
        """How many brought no result."""
        return len(self._reasons)

    @property
    def done(self) -> int:
        """How many have ended, well or badly."""
        return self.completed + self.failed

    def add(self, place: int, task: SeeAnyTask) -> None:
        """Take note of a completed task."""
        self._ended[place] = True
        self.completed += 1
        self._costs.add(task)
        self._answers.keep(place, task.as_json())
        self._table.keep(place, _row(task))

    def fail(self, place: int, reason: str) -> None:
        """Take note of a task that will bring no result."""
        self._ended[place] = True
        self._reasons[place] = cleaned(reason, limit=SHOWN_REASON)

    def unfinished(self, limit: int) -> list[str]:
        """Return the first ids that have not ended."""
        return list(islice((i for i, ended in zip(self._ids, self._ended, strict=True) if not ended), limit))

    def result(self) -> BatchResult:
        """Return it all, with as many details as fit."""
        head = BatchResult(
            total=len(self._ids),
            completed=self.completed,
            failed=self.failed,
            cost=self._costs.totals(),
            detail="totals",
            tasks=[],
            failures=[],
        )
        left = MOST_RESULT_BYTES - _size(head.as_json())
        # The failures first: the results can be asked for again by their ids, but somebody must know of these.
        failures = []
        for place in sorted(self._reasons):
            failure = Failure(self._ids[place], self._reasons[place])
            left -= (size := _size(msgspec.to_builtins(failure)))
            if left < 0:
                left += size
                break
            failures.append(failure)
        detail: Literal["answers", "table", "totals"] = "totals"
        tasks: list[dict[str, Any]] = []
        if self._answers.size <= left:
            detail, tasks = "answers", self._answers.in_order()
        elif self._table.size <= left:
            detail, tasks = "table", self._table.in_order()
        return msgspec.structs.replace(head, detail=detail, tasks=tasks, failures=failures)

    def __str__(self) -> str:
        text = f"{numeral(self.done)} of {numeral(len(self._ids))} done"
        if self.failed:
            text += f", {numeral(self.failed)} failed"
        costs = str(self._costs)
        return f"{text}, {costs} so far" if costs else text


def _row(task: SeeAnyTask) -> dict[str, Any]:
    """Return the line of a completed task in the table."""
    row = {
        "id": task.id,
        "video_url": web_url(task.video_url),
        "result_url": None if web_url(task.video_url) else next(iter(task.result_urls), None),
        "cost": task.usage.cost,
        "cost_unit": task.usage.cost_unit,
    }
    return {name: value for name, value in row.items() if value is not None}


class _CalmLog:
    """
    The log of the waits inside a batch: what each of thousands would tell is left out, and of the warnings one is
    passed on now and then.

    :param log: the log of the batch.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._first: tuple[str, tuple[object, ...]] | None = None
        self._held_back = 0
        self._quiet_until = float("-inf")

    def info(self, msg: str, /, *args: object) -> None:
        """Leave it out."""

    def warning(self, msg: str, /, *args: object) -> None:
        """Keep the first one, count the others."""
        if self._first is None:
            self._first = (msg, args)
        else:
            self._held_back += 1

    def flush(self, now: float) -> None:
        """Pass on what was kept, if it is time."""
        if self._first is None or now < self._quiet_until:
            return
        msg, args = self._first
        more = f" ({numeral(self._held_back)} more warnings like this one)" if self._held_back else ""
        self._log.warning(f"{msg}%s", *args, more)
        self._first, self._held_back = None, 0
        self._quiet_until = now + BETWEEN_LOG_LINES


class Batch:
    """
    Follows many tasks until each has ended, one thing ends them all, or the deadline passes.

    All of it may be lost at any time but the ids: what is made anew asks about each task again.

    :param ids: the tasks, checked by :func:`checked_task_ids`.
    :param poll_interval: seconds between two questions about a task while nothing better is known.
    :param max_poll_interval: most seconds between two questions about a task, the limits below apart.
    :param max_requests_per_second: most questions in a second.
    :param max_concurrent_requests: most questions under way at once.
    :param deadline: when to give up, in Unix seconds; ``None`` for never.
    :param fail_fast: end at the first failure.
    :param log: where to tell how far it is.
    :param now: Unix seconds.
    :param began: when the wait began, in Unix seconds; ``None`` if its tasks must be visible by now.
    """

    def __init__(
        self,
        ids: Sequence[str],
        *,
        poll_interval: float,
        max_poll_interval: float,
        max_requests_per_second: float,
        max_concurrent_requests: int,
        deadline: float | None,
        fail_fast: bool,
        log: Log,
        now: float,
        began: float | None = None,
    ) -> None:
        if not max_requests_per_second > 0 or not max_concurrent_requests >= 1:
            raise BadSettings(
                "max_requests_per_second must be above 0 and max_concurrent_requests at least 1, "
                f"not {max_requests_per_second!r} and {max_concurrent_requests!r}"
            )
        self._ids = ids
        self._poll_interval = poll_interval
        self._max_poll_interval = max_poll_interval
        # The pace of the batch as a whole. Made here, to have the interval checked before the first question.
        self._pace = FixedInterval(poll_interval=poll_interval)
        self._spacing = 1 / max_requests_per_second
        self._max_concurrent_requests = max_concurrent_requests
        self._deadline = deadline
        self._ends_at = float("inf") if deadline is None else max(deadline, now) + LAST_ROUND
        self._fail_fast = fail_fast
        self._began = began
        self._log = log
        self._calm_log = _CalmLog(log)
        self._status_words = StatusWords()
        self._turns = Turns(range(len(ids)), now)
        # Made when the first answer comes.
        self._waits: dict[int, tuple[Wait, TrustGated]] = {}
        self._under_way: dict[str, int] = {}
        self._next_slot = now
        self.results = Results(ids)
        """What the tasks brought so far."""
        self._refused: Refused | None = None
        self._last_trouble: Trouble | None = None
        self._last_trouble_at: int | None = None
        self._is_answered = False
        self._unanswered = 0
        self._unanswered_since = now
        self._outage_told_at = float("-inf")
        self._told = (now, 0)
        self._log.info("Waiting for %s SeeAny task%s", numeral(len(ids)), "" if len(ids) == 1 else "s")

    def next_question(self, now: float) -> str | Pause:
        """Return the task to ask about now, or how long to pause unless a reply comes first."""
        soonest = self._ends_at
        if len(self._under_way) < self._max_concurrent_requests:
            at = max(self._turns.next_at, self._next_slot)
            if at <= now:
                place = self._turns.take(now)
                self._next_slot = now + self._spacing
                self._under_way[self._ids[place]] = place
                return self._ids[place]
            soonest = min(at, soonest)
        return Pause(min(max(soonest - now, 0), LONGEST_PAUSE))

    def heard(self, seeany_task_id: str, reply: SeeAnyTask | Trouble, now: float) -> None:
        """
        Take note of what a question brought.

        :param seeany_task_id: whom it was about.
        :param reply: the answer, or why there was none.
        :param now: Unix seconds.
        """
        place = self._under_way.pop(seeany_task_id)
        known = self._waits.pop(place, None)
        wait, polling = known or self._wait(seeany_task_id)
        step = wait.heard(reply, now)
        self._turns.note(place, had_ended=isinstance(step, Finished | Refused))
        self._note_trouble(place, reply, now)
        match step:
            case Pause(seconds):
                self._waits[place] = wait, polling
                left = polling.seconds_left if isinstance(reply, SeeAnyTask) else None
                self._turns.wait(place, due=now + seconds, ends=None if left is None else now + left)
            case Finished() if isinstance(reply, SeeAnyTask) and reply.is_completed:
                self.results.add(place, reply)
            case Finished() if isinstance(reply, SeeAnyTask):
                self.results.fail(place, reply.failure_reason)
            case Refused(trouble):
                # One 403 among answers is about the task, not about the key.
                if trouble.http_status == 401 or (trouble.refuses_key and not self._is_answered):
                    self._refused = step
                self.results.fail(place, str(trouble))
            case TimedOut():
                pass  # not asked about again, and not among those that have ended
        self._tell(now)

    def _note_trouble(self, place: int, reply: SeeAnyTask | Trouble, now: float) -> None:
        if isinstance(reply, SeeAnyTask):
            self._is_answered = True
            if self._last_trouble_at == place:
                self._last_trouble = None
            self._note_end_of_outage(now)
            return
        self._last_trouble, self._last_trouble_at = reply, place
        self._unanswered_since = self._unanswered_since if self._unanswered else now
        self._unanswered += 1
        if reply.kind is Kind.THROTTLED:
            # The service asks the caller for patience, not the task.
            self._next_slot = max(self._next_slot, now + self._pace.after_trouble(reply, in_a_row=1))

    def _note_end_of_outage(self, now: float) -> None:
        if self._unanswered >= OUTAGE and now >= self._outage_told_at + BETWEEN_LOG_LINES:
            self._log.info(
                "SeeAny answered again after %s failures in %.0f s",
                numeral(self._unanswered),
                now - self._unanswered_since,
            )
            self._outage_told_at = now
        self._unanswered = 0

    def no_connection(self, trouble: Trouble, *, in_a_row: int, now: float) -> BatchOutcome | Pause:
        """Take note that nobody can be asked for now, and say what to do next."""
        self._last_trouble = trouble
        self._calm_log.warning("%s; the wait goes on", trouble)
        self._calm_log.flush(now)
        seconds = self._pace.after_trouble(trouble, in_a_row=in_a_row)
        if self._deadline is not None and now >= self._deadline:
            return self._timed_out()
        return Pause(seconds if self._deadline is None else min(seconds, self._deadline - now))

    def outcome(self, now: float) -> BatchOutcome | None:
        """Return what the batch has ended with, or ``None`` while it has not."""
        if self._refused is not None:
            return self._refused
        over = self.results.done == len(self._ids) or (self._fail_fast and self.results.failed)
        if over:
            self._log.info("%s", self.results)
            return self.results.result()
        if now >= self._ends_at or not (self._turns or self._under_way):
            return self._timed_out()
        return None

    def _wait(self, seeany_task_id: str) -> tuple[Wait, TrustGated]:
        polling = TrustGated(poll_interval=self._poll_interval, max_poll_interval=self._max_poll_interval)
        wait = Wait(
            seeany_task_id,
            polling=polling,
            deadline=self._deadline,
            log=self._calm_log,
            began=self._began,
            status_words=self._status_words,
        )
        return wait, polling

    def _timed_out(self) -> BatchTimedOut:
        return BatchTimedOut(
            total=len(self._ids),
            done=self.results.done,
            unfinished=self.results.unfinished(SHOWN_UNFINISHED),
            last_trouble=str(self._last_trouble) if self._last_trouble else None,
        )

    def _tell(self, now: float) -> None:
        self._calm_log.flush(now)
        told_at, done = self._told
        if now >= told_at + BETWEEN_LOG_LINES and done != self.results.done:
            self._told = (now, self.results.done)
            self._log.info("%s", self.results)
