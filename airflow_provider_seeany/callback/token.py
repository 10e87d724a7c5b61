"""The secret part of a callback URL: it names a connection, and perhaps the task instance that waits, and is signed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from itsdangerous import BadData, URLSafeSerializer

MAX_TOKEN = 6144
"""Longest token that is read; one for the longest names has about 1 200 characters, and never more than 5 500."""

MAX_NAME = 250
"""Longest id of a DAG, a run, a task or a connection that Airflow stores, in characters."""

MAX_MAP_INDEX = 2**31 - 1


class TaskInstanceKey(msgspec.Struct, frozen=True, array_like=True):
    """
    The task instance that waits, or will.

    :raises ValueError: if no database could hold a task instance of this name.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __post_init__(self) -> None:
        for field in ("dag_id", "run_id", "task_id"):
            _check_name(getattr(self, field), field)
        # A text would be signed, and refused when it is read.
        if type(self.map_index) is not int or not -1 <= self.map_index <= MAX_MAP_INDEX:
            raise ValueError(f"map_index must be a whole number from -1 to {MAX_MAP_INDEX}")


class TokenClaims(msgspec.Struct, frozen=True, array_like=True):
    """
    Who may ring, and for what.

    :param seeany_conn_id: the connection whose waits may be woken; SeeAny is asked through it.
    :param waiting: a task instance to wake, too, whatever the body says.
    :raises ValueError: if no database could hold a connection of this name.
    """

    seeany_conn_id: str
    waiting: TaskInstanceKey | None = None

    def __post_init__(self) -> None:
        _check_name(self.seeany_conn_id, "seeany_conn_id")


def sign_token(ringer: TokenClaims, *, secret: str) -> str:
    """Return the token that says so; the same one each time."""
    return str(_serializer([secret]).dumps(msgspec.to_builtins(ringer)))


def verify_token(token: str, *, secrets: Sequence[str]) -> TokenClaims | None:
    """Return what a token says, or ``None`` if it was signed with none of these secrets."""
    if not secrets or len(token) > MAX_TOKEN:
        return None
    try:
        # The signature is compared in constant time, and nothing is decoded before it has proved right.
        return msgspec.convert(_serializer(secrets).loads(token), TokenClaims)
    except (BadData, msgspec.ValidationError, UnicodeEncodeError):
        return None


def _serializer(secrets: Sequence[str]) -> URLSafeSerializer:
    return URLSafeSerializer(
        list(secrets), salt="airflow-provider-seeany.callback", signer_kwargs={"digest_method": hashlib.sha256}
    )


def _check_name(name: object, field: str) -> None:
    """Refuse what a database cannot compare with its columns: the error would come with the ring, each time anew."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"{field} must be a text of 1 to {MAX_NAME} characters")
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        raise ValueError(f"{field} holds a character that Airflow's database cannot store")
