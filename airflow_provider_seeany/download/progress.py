"""How far a download is, for the log and for the UI: reported when that has changed and some time has passed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from airflow_provider_seeany.api.batch_result import Failure
from airflow_provider_seeany.api.text import format_count, sanitize
from airflow_provider_seeany.api.wait_log import Log
from airflow_provider_seeany.download.fetched import Fetched
from airflow_provider_seeany.download.manifest import Entry
from airflow_provider_seeany.download.settings import format_bytes
from airflow_provider_seeany.exceptions import MAX_FAILURES_SHOWN
from airflow_provider_seeany.xcoms.record import MAX_TEXT_LENGTH, Copies

INTERVAL = 10.0  # minimum seconds between two reports

Push = Callable[[Copies, float | None], None]


class DownloadProgress:
    """
    Counts what is stored, and reports it; in the event loop, but for the beginning and the end.

    :param push: pushes what the tab shows, and the percentage if it is known; an error there fails nothing.
    """

    def __init__(self, log: Log, push: Push | None) -> None:
        self._log = log
        self._push = push
        self._pushing: asyncio.Future[None] | None = None
        self._began = self._reported = time.monotonic()
        self._stored = self._kept = self._size = self.bytes = 0
        self._total = self._unknown = 0
        self._failures: list[Failure] = []
        self._receiving: set[Fetched] = set()

    def begin(self, counts: list[int | None]) -> None:
        """Say how many files each task has, ``None`` if that is not known yet."""
        self._total = sum(count or 0 for count in counts)
        self._unknown = counts.count(None)
        self._publish(*self._now())

    def learn(self, files: int) -> None:
        """Add the files of a task of which they were not known."""
        self._total += files
        self._unknown -= 1

    @contextmanager
    def receiving(self, file: Fetched) -> Iterator[None]:
        """Count the bytes that a file has so far, until it is stored or discarded."""
        self._receiving.add(file)
        try:
            yield
        finally:
            self._receiving.remove(file)

    def add(self, size: int, *, is_kept: bool = False) -> None:
        """Count a file that was stored, or was there already."""
        self._size += size
        if is_kept:
            self._kept += 1
        else:
            self._stored += 1
            self.bytes += size
        self.report()

    def report(self) -> None:
        """Report, if the last report was some time ago."""
        now = time.monotonic()
        if now >= self._reported + INTERVAL:
            self._reported = now
            self._log.info("%s", self)
            if self._push is not None and (self._pushing is None or self._pushing.done()):
                # In a thread, as all files wait for this loop; it ends before the loop's end.
                self._pushing = asyncio.get_running_loop().run_in_executor(None, self._publish, *self._now())

    def fail(self, failure: Failure) -> None:
        """Count and log a failure."""
        self._failures.append(failure)
        if len(self._failures) <= MAX_FAILURES_SHOWN:
            self._log.warning("Not stored, of SeeAny task %s: %s", sanitize(failure.id), failure.reason)

    def end(self, entries: list[Entry], *, folder: str) -> None:
        """Report what is there at the end."""
        self._log.info("Done: %s. In all: %s", self, _count(len(entries)))
        size, paths = sum(entry.size for entry in entries), [entry.path for entry in entries]
        self._publish(Copies.of(paths, size=size, failures=self._failures, folder=folder))

    def break_off(self, error: Exception) -> None:
        """Report why nothing else is stored."""
        copies, _ = self._now()
        self._publish(msgspec.structs.replace(copies, reason=sanitize(str(error), limit=MAX_TEXT_LENGTH)))

    def _now(self) -> tuple[Copies, float | None]:
        files, total = self._stored + self._kept, None if self._unknown else self._total
        copies = Copies(files=files, total=total, size=self._size + self._received, failed=len(self._failures))
        parts = sum(file.size / file.total for file in self._receiving if file.total)
        return copies, round(100 * (files + parts) / total, 1) if total else None

    @property
    def _received(self) -> int:
        """The bytes of files that are not complete yet."""
        return sum(file.size for file in self._receiving)

    def _publish(self, copies: Copies, percent: float | None = None) -> None:
        if self._push is None:
            return
        try:
            self._push(copies, percent)
        except Exception as error:
            self._push = None
            self._log.warning("The progress is no longer published for the UI: %s", sanitize(repr(error)))

    def __str__(self) -> str:
        seconds = time.monotonic() - self._began
        size = self.bytes + self._received
        rate = f"{format_bytes(size)} in {seconds:.1f} s, {format_bytes(size / (seconds or 1))}/s"
        going_on = f", {format_count(len(self._receiving))} being fetched" if self._receiving else ""
        kept = f", {format_count(self._kept)} there already" if self._kept else ""
        failed = f", {format_count(len(self._failures))} failed" if self._failures else ""
        return f"{_count(self._stored)} stored{going_on} ({rate}){kept}{failed}"


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{format_count(files)} files"
