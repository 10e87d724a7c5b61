"""The dialects of the API, by name. Another one is a module here and its entry."""

from __future__ import annotations

from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.api.dialects.developer import Developer
from airflow_provider_seeany.api.dialects.v1 import V1
from airflow_provider_seeany.api.errors import BadSettings
from airflow_provider_seeany.api.text import truncate

DEFAULT_DIALECT: Dialect = V1()

DIALECTS: dict[str, Dialect] = {each.name: each for each in (DEFAULT_DIALECT, Developer())}


def find_dialect(name: object) -> Dialect:
    """
    Return the dialect of a name, without regard to case and surrounding white space; for none, the default.

    :raises BadSettings: if there is no such dialect.
    """
    if name is None:
        return DEFAULT_DIALECT
    word = str(name).strip().lower()
    if word and word not in DIALECTS:
        raise BadSettings(f"its API (api in the extra) must be {' or '.join(DIALECTS)}, not {truncate(str(name))!r}")
    return DIALECTS[word or DEFAULT_DIALECT.name]
