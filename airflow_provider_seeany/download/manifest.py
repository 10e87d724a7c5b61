"""What a download returns: a list of the files that it stored, or where that list is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from airflow_provider_seeany.download.source import path_segment
from airflow_provider_seeany.download.store import Store

MAX_MANIFEST_BYTES = 48 * 1024  # maximum size of a manifest as an XCom: Airflow keeps it in its database


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    A file that was stored.

    :param id: of the SeeAny task.
    :param file: what it is: ``video``, ``thumbnail`` or ``image-001`` and so on.
    :param source: the URL that it was fetched from, without its query, which may be a signature.
    :param path: the URL of the copy.
    """

    id: str
    file: str
    source: str
    path: str
    size: int
    sha256: str
    content_type: str


def manifest(store: Store, entries: list[Entry], *, run: Iterable[str]) -> list[dict[str, Any]] | dict[str, Any]:
    """
    Return the entries as plain JSON values; if they are too large for an XCom, store them, and return where.

    :param run: names that together tell this download from others that go to the same path.
    """
    rows: list[dict[str, Any]] = msgspec.to_builtins(entries)
    content = json.dumps(rows)
    if len(content) <= MAX_MANIFEST_BYTES:
        return rows
    name = f"manifest-{path_segment(*run)}.json"
    store.write(content.encode(), name)
    return {"manifest": store.url(name), "files": len(entries), "bytes": sum(entry.size for entry in entries)}
