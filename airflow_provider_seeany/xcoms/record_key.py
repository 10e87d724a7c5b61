"""
The keys of records: all that sums are made of, ordered by time.

Airflow indexes XComs by key, and by nothing else that helps. Reading 100 000 keys from that index takes about 30 ms;
reading the rows, or their JSON, takes many times as long. So a key contains::

    _seeany_20261124T203015Z:5fd924625f6ab16a:9ddbc6b8b3a1d1b7:c:seeany_default:CNY=0.7
            moment           SeeAny task      DAG              | connection     cost by currency
                                                               state: c, f or t

SeeAny task and DAG are hashes, because their ids can be longer than a key. Nothing in a key has to be escaped in a URL,
in which workers send keys to the api-server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

State = Literal["completed", "failed", "timed_out"]

PROGRESS_KEY = "_seeany"
"""The key of the progress and the claim of a wait; when it has ended, of the key of its record."""

FIRST_KEY, LAST_KEY = f"{PROGRESS_KEY}_0", f"{PROGRESS_KEY}_99991231T235959Z"
"""The keys of all records are between these."""

CREATED_KEY = f"{PROGRESS_KEY}_created"
"""The keys of creations begin with this, beyond those of records: ``…_created_<moment>:<task>:<DAG>:<connection>``."""

MAX_KEY = 512
MAX_CONNECTION = 200

COST_IN_VALUE = "~"
"""Stands for costs that are too long for a key: only the record has them."""

_LETTERS: Mapping[State, str] = {"completed": "c", "failed": "f", "timed_out": "t"}
_STATES = {letter: state for state, letter in _LETTERS.items()}
_HASH = 16
_AFTER_MOMENT = len(f"{PROGRESS_KEY}_20261124T203015Z:")
_SPEND_PART = _AFTER_MOMENT + _HASH + 1

without_moment = itemgetter(slice(_AFTER_MOMENT, None))
"""Return the part of a key that all waits of a DAG for one SeeAny task share. For maps over very many keys."""

spend_part = itemgetter(slice(_HASH + 1, None))
"""Return the part of that part that :meth:`SpendPart.read` reads."""


task_part = itemgetter(slice(_AFTER_MOMENT, _AFTER_MOMENT + _HASH))
"""Return the part of a key that stands for the SeeAny task."""


@dataclass(frozen=True)
class SpendPart:
    """What a record contributes to sums; the DAG as a hash, the cost ``None`` for :data:`COST_IN_VALUE`."""

    dag: str
    state: State
    conn_id: str
    cost: Mapping[str, str] | None

    @classmethod
    def read(cls, part: str) -> SpendPart | None:
        """Read that part of a key; ``None`` if it is another text, as any DAG may push any key."""
        match part.split(":"):
            case [dag, letter, conn_id, cost] if letter in _STATES:
                return cls(dag, _STATES[letter], _unquote(conn_id), None if cost == COST_IN_VALUE else _costs(cost))
        return None


def bypasses_backend(key: str) -> bool:
    """Return whether an XCom is the provider's own or a link's, which the api-server reads in the database."""
    return key.startswith("_")


def record_key(
    at: float,
    *,
    seeany_task_id: str | None,
    state: State,
    conn_id: str,
    cost: Mapping[str, str],
    task_instance: TaskInstanceKey,
) -> str:
    """Return the key of a record; that of a batch, without an id, is never counted together with another one."""
    counted_once = seeany_task_id or f"{task_instance.run_id} {task_instance.task_id} {task_instance.map_index}"
    hashes = f"{hash_part(counted_once)}:{hash_part(task_instance.dag_id)}"
    key = f"{key_at(at)}:{hashes}:{_LETTERS[state]}:{_connection(conn_id)}:"
    costs = ",".join(f"{_quote(unit)}={_quote(amount)}" for unit, amount in sorted(cost.items()))
    return key + (costs if len(key) + len(costs) <= MAX_KEY else COST_IN_VALUE)


def created_key(at: float, *, seeany_task_id: str, dag_id: str, conn_id: str) -> str:
    """Return the key under which a DAG notes that it has created a SeeAny task, whether or not anybody waits for it."""
    parts = (key_at(at, CREATED_KEY), hash_part(seeany_task_id), hash_part(dag_id), _connection(conn_id))
    return ":".join(parts)


def read_created_key(key: str) -> tuple[str, str, str] | None:
    """Return the parts of such a key that stand for the SeeAny task, the DAG and the connection."""
    match key.split(":"):
        case [_, task, dag, conn_id]:
            return task, dag, _unquote(conn_id)
    return None


def key_at(moment: float, prefix: str = PROGRESS_KEY) -> str:
    """Return the beginning of the keys of a moment in Unix seconds."""
    return f"{prefix}_{datetime.fromtimestamp(moment, tz=UTC):%Y%m%dT%H%M%SZ}"


def state_part(state: State) -> tuple[int, str]:
    """Return the index in a key, and the text, of a state's part."""
    return _SPEND_PART + _HASH + 1, f"{_LETTERS[state]}:"


def seeany_task_part(seeany_task_id: str) -> tuple[int, str]:
    """Return the index in a key, and the text, of a SeeAny task's part."""
    return _AFTER_MOMENT, f"{hash_part(seeany_task_id)}:"


def dag_part(dag_id: str) -> tuple[int, str]:
    """Return the index in a key, and the text, of a DAG's part."""
    return _SPEND_PART, f"{hash_part(dag_id)}:"


def connection_part(conn_id: str) -> tuple[int, str]:
    """Return the index in a key, and the text, of a connection's part."""
    return _SPEND_PART + _HASH + 3, f"{_connection(conn_id)}:"


def hash_part(text: str) -> str:
    """Return the part of a key that stands for a SeeAny task or a DAG."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH]


def _connection(conn_id: str) -> str:
    # Truncated between characters, so that a truncated id that was read is quoted in the same way again.
    quoted = ""
    for character in map(_quote, conn_id):
        if len(quoted) + len(character) > MAX_CONNECTION:
            break
        quoted += character
    return quoted


def _quote(text: str) -> str:
    """Write a text in letters, digits, ``-._`` and ``~``."""
    return quote(text, safe="", errors="replace").replace("~", "%7E").replace("%", "~")


def _unquote(quoted: str) -> str:
    return unquote(quoted.replace("~", "%"))


def _costs(costs: str) -> dict[str, str]:
    pairs = (cost.partition("=") for cost in costs.split(",") if cost)
    return {_unquote(unit): _unquote(amount) for unit, _, amount in pairs}
