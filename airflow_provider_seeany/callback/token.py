"""The secret part of a callback URL: it names a connection, and perhaps the task instance that waits, and is signed."""

from __future__ import annotations

import hashlib

import msgspec
from itsdangerous import BadData, URLSafeSerializer

LONGEST_TOKEN = 4096
"""Longest token that is looked at; one that names a task instance by its longest possible ids has about 1 200."""


class WaitingTask(msgspec.Struct, frozen=True, array_like=True):
    """The task instance that waits, or will."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


class Ringer(msgspec.Struct, frozen=True, array_like=True):
    """
    Who may ring, and for what.

    :param seeany_conn_id: the connection whose waits may be woken; SeeAny is asked through it.
    :param waiting: a task instance to wake, too, whatever the body says.
    """

    seeany_conn_id: str
    waiting: WaitingTask | None = None


def signed(ringer: Ringer, *, secret: str) -> str:
    """Return the token that says so; the same one each time."""
    return str(_serializer(secret).dumps(msgspec.to_builtins(ringer)))


def read(token: str, *, secret: str) -> Ringer | None:
    """Return what a token says, or ``None`` if it was not signed with this secret."""
    if len(token) > LONGEST_TOKEN:
        return None
    try:
        # The signature is compared in constant time, and nothing is decoded before it has proved right.
        return msgspec.convert(_serializer(secret).loads(token), Ringer)
    except (BadData, msgspec.ValidationError):
        return None


def _serializer(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        secret, salt="airflow-provider-seeany.callback", signer_kwargs={"digest_method": hashlib.sha256}
    )
