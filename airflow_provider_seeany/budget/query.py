"""The query that a worker leaves in an XCom, the token by which the api-server finds it, and the response."""

from __future__ import annotations

import hashlib
import re
import secrets
from decimal import Decimal

import msgspec

PATH = "/budget"
"""The route, in the application that the plugin mounts."""

HEADER = "Seeany-Query"
"""The header with the token. Not `Authorization`, which a proxy may want for itself."""

KEY_PREFIX = "_seeany_query_"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class SpendQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The value of the XCom. The DAG is the one whose XCom it is.

    :param task_instance_id: Airflow's id of this try, which has to be running.
    :param conn_id: sum up this connection in place of the DAG.
    """

    task_instance_id: str
    unit: str
    conn_id: str | None = None


class SpendTotals(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was spent today, in one currency.

    :param spent: what was spent, the completed part of batches in flight included.
    :param unpriced: number of results that completed without a cost.
    :param in_flight: number of SeeAny tasks that were created and have not ended, as far as Airflow knows.
    :param mean: the mean cost of the last results; ``None`` if there are none.
    :param others: what was spent in other currencies.
    :param ends_at: when the day ends, in Unix seconds.
    """

    spent: Decimal
    unpriced: int
    in_flight: int
    mean: Decimal | None
    others: dict[str, Decimal]
    ends_at: int


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)


def query_key(token: str) -> str | None:
    """Return the key of the XCom, from which nobody can tell the token; ``None`` if it is no token."""
    if not _TOKEN.fullmatch(token):
        return None
    return KEY_PREFIX + hashlib.sha256(token.encode()).hexdigest()
