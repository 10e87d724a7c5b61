"""The folder of one SeeAny task: what an earlier download stored there, and its index."""

from __future__ import annotations

import json
import mimetypes
from contextlib import suppress

import msgspec

from airflow_provider_seeany.api.public_url import public_url
from airflow_provider_seeany.download.fetched import Fetched
from airflow_provider_seeany.download.manifest import Entry
from airflow_provider_seeany.download.source import ResultFile, Source
from airflow_provider_seeany.download.store import Store, StoreError, Writer

INDEX = "seeany.json"
"""The name of the file that lists the others of its folder, with their checksums."""


class Folder:
    """
    The files of one task. Its methods block, and raise ``StoreError``.

    A file appears only when it is complete, so one that exists is not fetched again, unless the index has another size
    for it. One that the index lacks was stored by a download that was killed before it wrote the index. An image is
    known by its source alone: its number is its place in the result, which may be another one's today.
    """

    def __init__(self, store: Store, source: Source) -> None:
        self.source = source
        self._store = store
        self._files: dict[str, tuple[str, int]] = {}
        """Name and size of the files that exist, by their names without extension."""
        self._entries: dict[str, Entry] = {}
        self._replaced: list[str] = []
        """Names of files that have another extension now."""
        self._is_changed = False

    def read(self) -> None:
        """Read what is there."""
        found = {file.name: file.size for file in self._store.files(self.source.folder)}
        if INDEX in found:
            self._entries = {entry.file: entry for entry in self._read_index()}
        listed = {entry.path.rpartition("/")[2] for entry in self._entries.values()}
        self._files = {
            name.partition(".")[0]: (name, found[name])
            # If a killed download left two of them, the one in the index.
            for name in sorted(found, key=listed.__contains__)
            if not name.startswith(".") and name != INDEX
        }

    def _read_index(self) -> list[Entry]:
        try:
            return msgspec.json.decode(self._store.read(self.source.folder, INDEX) or b"[]", type=list[Entry])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []

    def kept(self, file: ResultFile) -> Entry | None:
        """Return the entry of a file that need not be fetched again."""
        if file.name not in self._files:
            return None
        name, size = self._files[file.name]
        known = self._entries.get(file.name)
        if file.is_numbered and (known is None or known.source != public_url(file.url)):
            return None
        path = self._store.url(self.source.folder, name)
        if known is None:
            checksum = self._store.sha256(self.source.folder, name)
            content_type = mimetypes.guess_type(name)[0] or ""
            return self._add(file, path, size=size, sha256=checksum, content_type=content_type)
        # The folder may have been moved, index and all.
        return msgspec.structs.replace(known, path=path) if known.size == size else None

    def writer(self, file: ResultFile, extension: str) -> tuple[str, Writer]:
        """Begin to write a file; return its name, too."""
        name = f"{file.name}{file.extension or extension}"
        return name, self._store.writer(self.source.folder, name)

    def add(self, file: ResultFile, name: str, fetched: Fetched) -> Entry:
        """Return the entry of a file that was written."""
        if file.name in self._files and (replaced := self._files[file.name][0]) != name:
            self._replaced.append(replaced)
        return self._add(
            file,
            self._store.url(self.source.folder, name),
            size=fetched.size,
            sha256=fetched.sha256,
            content_type=fetched.content_type,
        )

    def _add(self, file: ResultFile, path: str, *, size: int, sha256: str, content_type: str) -> Entry:
        entry = Entry(
            id=self.source.seeany_task_id,
            file=file.name,
            source=public_url(file.url),
            path=path,
            size=size,
            sha256=sha256,
            content_type=content_type,
        )
        self._entries[file.name] = entry
        self._is_changed = True
        return entry

    def sweep(self) -> None:
        """Delete what a killed download left unfinished."""
        self._store.sweep(self.source.folder)

    def write_index(self) -> None:
        """Write the index, if it has changed; then delete what has been replaced under another name."""
        if self._is_changed:
            rows = msgspec.to_builtins(sorted(self._entries.values(), key=lambda entry: entry.file))
            self._store.write(json.dumps(rows, indent=1, ensure_ascii=False).encode(), self.source.folder, INDEX)
        for name in self._replaced:
            # Writing does not need the permission to delete, and the index says which one counts.
            with suppress(StoreError):
                self._store.delete(self.source.folder, name)
