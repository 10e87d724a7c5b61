"""The token in a callback URL: signed claims: a connection, and optionally the waiting task instance and an asset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey, is_storable

MAX_TOKEN = (
    14_336  # one with the longest ids has about 1 200 characters, and never more than 5 500; an asset adds 8 000
)
MAX_NAME = 250  # characters of the id of a DAG, a run, a task or a connection in Airflow's database
MAX_ASSET = 1500  # of the name or the URI of an asset
MAX_MAP_INDEX = 2**31 - 1


class TokenClaims(msgspec.Struct, frozen=True, array_like=True):
    """
    The claims of a token.

    :param seeany_conn_id: the connection whose waits a callback may resume; SeeAny is polled through it.
    :param task_instance: a task instance whose wait the callback is about, whatever its body contains.
    :param asset: name or URI of the asset that gets an event when a SeeAny task is completed.
    :raises ValueError: if Airflow's database cannot hold such a connection, task instance or asset: signed all the
        same, it would cause an error with each callback.
    """

    seeany_conn_id: str
    task_instance: TaskInstanceKey | None = None
    asset: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.seeany_conn_id, "seeany_conn_id")
        if self.asset is not None:
            _check_name(self.asset, "asset", maximum=MAX_ASSET)
        if (key := self.task_instance) is None:
            return
        for field in ("dag_id", "run_id", "task_id"):
            _check_name(getattr(key, field), field)
        # A text would be signed, and refused when it is read.
        if type(key.map_index) is not int or not -1 <= key.map_index <= MAX_MAP_INDEX:
            raise ValueError(f"map_index must be a whole number from -1 to {MAX_MAP_INDEX}")


def sign_token(claims: TokenClaims, *, secret: str) -> str:
    """Return the token with these claims; the same one each time."""
    return str(_serializer([secret]).dumps(msgspec.to_builtins(claims)))


def verify_token(token: str, *, secrets: Sequence[str]) -> TokenClaims | None:
    """Return the claims of a token; ``None`` if it was signed with none of these secrets."""
    if not secrets or len(token) > MAX_TOKEN:
        return None
    try:
        # Compares the signature in constant time, and decodes nothing before that.
        return msgspec.convert(_serializer(secrets).loads(token), TokenClaims)
    except (BadData, msgspec.ValidationError, UnicodeEncodeError):
        return None


def _serializer(secrets: Sequence[str]) -> URLSafeSerializer:
    return URLSafeSerializer(
        list(secrets), salt="airflow-provider-seeany.callback", signer_kwargs={"digest_method": hashlib.sha256}
    )


def _check_name(name: object, field: str, *, maximum: int = MAX_NAME) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= maximum:
        raise ValueError(f"{field} must be a text of 1 to {maximum} characters")
    if not is_storable(name):
        raise ValueError(f"{field} holds a character that Airflow's database cannot store")
