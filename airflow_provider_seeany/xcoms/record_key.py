"""
The keys of records: all that sums are made of, in the order of time.

Airflow indexes XComs by key and by nothing else that helps. A hundred thousand keys are read from that index in some
30 ms; to look at the rows themselves, or into their JSON, takes many times as long. So a key says::

    _seeany_20261124T203015Z:5fd924625f6ab16a:9ddbc6b8b3a1d1b7:c:seeany_default:CNY=0.7
            the moment       the SeeAny task  the DAG          | the connection what it cost, by currency
                                                               how it ended: c, f or t

SeeAny task and DAG are hashes, as their ids may be longer than a key. Nothing here has to be escaped in a URL, in which
workers send keys to the api-server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Literal
from urllib.parse import quote, unquote

State = Literal["completed", "failed", "timed_out"]

PROGRESS_KEY = "_seeany"
"""Where a wait says how far it is, and then which record it has."""

FIRST_KEY, LAST_KEY = f"{PROGRESS_KEY}_0", f"{PROGRESS_KEY}_99991231T235959Z"
"""Between these are the keys of all records, in the order of time."""

MAX_KEY = 512
MAX_CONNECTION = 200

COST_IN_VALUE = "~"
"""In place of costs that are too long for a key: they are in the record alone."""

_LETTERS: Mapping[State, str] = {"completed": "c", "failed": "f", "timed_out": "t"}
_STATES = {letter: state for state, letter in _LETTERS.items()}
_HASH = 16
_AFTER_MOMENT = len(f"{PROGRESS_KEY}_20261124T203015Z:")
_OF_LINE = _AFTER_MOMENT + _HASH + 1

after_moment = itemgetter(slice(_AFTER_MOMENT, None))
"""Of a key: what two waits of a DAG for the same SeeAny task have in common. For maps over very many keys."""

line_of = itemgetter(slice(_HASH + 1, None))
"""Of that: what it adds to sums; see :meth:`Line.read`."""


@dataclass(frozen=True)
class Line:
    """
    What a record adds to sums.

    :param dag: hash of the DAG's id.
    :param state: how the wait ended.
    :param conn_id: the connection, without what is past :data:`MAX_CONNECTION`.
    :param cost: decimal numbers as text, by currency; ``None`` if the key has no room for them.
    """

    dag: str
    state: State
    conn_id: str
    cost: Mapping[str, str] | None

    @classmethod
    def read(cls, line: str) -> Line | None:
        """Read that part of a key, or return ``None`` if it is none: anybody may push under any key."""
        match line.split(":"):
            case [dag, letter, conn_id, cost] if letter in _STATES:
                return cls(dag, _STATES[letter], _read(conn_id), None if cost == COST_IN_VALUE else _costs(cost))
        return None


def is_of_ui(key: str) -> bool:
    """
    Tell whether an XCom is the UI's own: a link, a record, or what leads to one.

    The api-server reads these in the database, so they go past a custom XCom backend, as Airflow's own links do.
    """
    return key.startswith("_")


def record_key(
    at: float,
    *,
    seeany_task_id: str | None,
    state: State,
    conn_id: str,
    cost: Mapping[str, str],
    place: Mapping[str, Any],
) -> str:
    """
    Return the key of a record.

    :param at: the moment, in Unix seconds.
    :param seeany_task_id: the task waited for; ``None`` for a batch, which is like no other.
    :param state: how the wait ended.
    :param conn_id: the connection.
    :param cost: decimal numbers as text, by currency.
    :param place: what names the XComs of the task instance.
    """
    one = seeany_task_id or f"{place['run_id']} {place['task_id']} {place['map_index']}"
    key = f"{key_at(at)}:{_hash(one)}:{dag_part(place['dag_id'])}:{_LETTERS[state]}:{_connection(conn_id)}:"
    costs = ",".join(f"{_written(unit)}={_written(amount)}" for unit, amount in sorted(cost.items()))
    return key + (costs if len(key) + len(costs) <= MAX_KEY else COST_IN_VALUE)


def key_at(moment: float) -> str:
    """Return what the keys of this moment begin with; the moment is in Unix seconds."""
    return f"{PROGRESS_KEY}_{datetime.fromtimestamp(moment, tz=UTC):%Y%m%dT%H%M%SZ}"


def dag_part(dag_id: str) -> str:
    """Return what stands for a DAG in keys."""
    return _hash(dag_id)


def state_part(state: State) -> tuple[int, str]:
    """Return where in a key, counted from 0, what stands for a state."""
    return _OF_LINE + _HASH + 1, f"{_LETTERS[state]}:"


def connection_part(conn_id: str) -> tuple[int, str]:
    """Return where in a key, counted from 0, what stands for a connection."""
    return _OF_LINE + _HASH + 3, f"{_connection(conn_id)}:"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH]


def _connection(conn_id: str) -> str:
    # Whole characters only, so that what was read from a key is written in the same way again.
    written = ""
    for character in map(_written, conn_id):
        if len(written) + len(character) > MAX_CONNECTION:
            break
        written += character
    return written


def _written(text: str) -> str:
    """Write a text in letters, digits, ``-._`` and ``~``."""
    return quote(text, safe="", errors="replace").replace("~", "%7E").replace("%", "~")


def _read(written: str) -> str:
    return unquote(written.replace("~", "%"))


def _costs(costs: str) -> dict[str, str]:
    pairs = (cost.partition("=") for cost in costs.split(",") if cost)
    return {_read(unit): _read(amount) for unit, _, amount in pairs}
