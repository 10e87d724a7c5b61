"""Runs a download in a worker: a limited number of files at once, each of them stored or accounted for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_seeany import metrics
from airflow_provider_seeany.api.batch_result import Failure
from airflow_provider_seeany.api.errors import ApiError, PermanentError
from airflow_provider_seeany.api.public_url import public_url
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.download.fetch import EXPIRED_STATUSES, Fetcher, open_fetcher
from airflow_provider_seeany.download.fetched import Fetched, Sink
from airflow_provider_seeany.download.folder import Folder
from airflow_provider_seeany.download.manifest import Entry
from airflow_provider_seeany.download.memory import return_large_blocks
from airflow_provider_seeany.download.progress import DownloadProgress
from airflow_provider_seeany.download.settings import DownloadSettings
from airflow_provider_seeany.download.source import ResultFile, Source, files_of
from airflow_provider_seeany.download.store import Store, StoreError
from airflow_provider_seeany.exceptions import (
    SeeAnyAuthError,
    SeeAnyConfigError,
    SeeAnyConnectionNotFound,
    SeeAnyDownloadError,
    SeeAnyDownloadRefused,
    SeeAnyError,
    SeeAnyTaskFailed,
    SeeAnyTaskNotReady,
)
from airflow_provider_seeany.hooks.seeany import SeeAnyHook

MAX_STORE_FAILURES = 3
"""After so many failures of the storage in a row nothing else is fetched: it would be paid for in vain."""


class Download:
    """
    A download of the files of some tasks.

    :param hook: requests tasks that came without their response, and those whose URLs have expired.
    :param progress: reports how far it is, to the log and to the UI's tab.
    """

    def __init__(
        self, store: Store, settings: DownloadSettings, *, hook: SeeAnyHook, progress: DownloadProgress
    ) -> None:
        self._store = store
        self._settings = settings
        self._hook = hook
        self.progress = progress
        self._failures: list[Failure] = []
        self._can_retry = False
        self._entries: dict[int, list[Entry]] = {}
        self._store_failures = 0
        self._refusal: SeeAnyError | None = None
        """Why no further request to the API can succeed."""
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._is_cancelled = False

    def run(self, sources: list[Source]) -> list[Entry]:
        """
        Store the files that are not there yet; return all of them, in the order of the tasks.

        :raises SeeAnyDownloadError: if some could not be stored. All others are.
        """
        return_large_blocks()
        kinds = self._settings.files
        self.progress.begin([len(files_of(each.task, kinds)) if each.task else None for each in sources])
        try:
            with _time_limit_after(self.cancel):
                asyncio.run(self._run(sources))
        except asyncio.CancelledError:
            raise SeeAnyError("The download was ended. What it had stored is kept, and not fetched again") from None
        finally:
            metrics.downloaded(self.progress.bytes, conn_id=self._hook.seeany_conn_id)
        entries = [entry for index in sorted(self._entries) for entry in self._entries[index]]
        self.progress.end(entries, folder=self._store.url())
        if self._failures:
            kind = SeeAnyDownloadError if self._can_retry else SeeAnyDownloadRefused
            raise kind(self._failures, stored=len(entries))
        return entries

    def cancel(self) -> None:
        """End the download from a signal handler; what is unfinished is discarded."""
        self._is_cancelled = True
        if self._running is not None:
            loop, task = self._running
            loop.call_soon_threadsafe(task.cancel)

    async def _run(self, sources: list[Source]) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        active = self._settings.max_active_files
        loop.set_default_executor(ThreadPoolExecutor(active + 2))
        self._active = asyncio.Semaphore(active)
        self._running = loop, task
        if self._is_cancelled:
            raise asyncio.CancelledError
        left = iter(enumerate(sources))
        try:
            async with (
                open_fetcher(
                    allow_private_addresses=self._settings.allow_private_addresses,
                    min_rate=self._settings.min_bytes_per_second,
                ) as fetcher,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(min(active, len(sources))):
                    group.create_task(self._work(left, fetcher))
        finally:
            self._running = None

    async def _work(self, left: Iterator[tuple[int, Source]], fetcher: Fetcher) -> None:
        """Take one task after the other, together with other workers."""
        for index, source in left:
            task = _TaskDownload(Folder(self._store, source), self._settings, fetcher, self._active, self)
            self._entries[index] = await task.run()

    async def ask(self, seeany_task_id: str) -> SeeAnyTask:
        """
        Request a task.

        :raises SeeAnyError: if it has no result. If that is the connection's fault, no other task is requested.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        try:
            task = await self._hook.aget_task(seeany_task_id)
        except (SeeAnyAuthError, SeeAnyConfigError, SeeAnyConnectionNotFound) as error:
            self._refusal = error
            raise
        if task.is_failed:
            raise SeeAnyTaskFailed(task)
        if not task.is_completed:
            raise SeeAnyTaskNotReady(f"it is not done yet, its status is {sanitize(task.status)}")
        return task

    def check_store(self) -> None:
        """Raise if the storage seems to be out of order."""
        if self._store_failures >= MAX_STORE_FAILURES:
            raise StoreError("not tried, as the storage had failed several times in a row")

    def add(self, size: int) -> None:
        """Count a file that was stored."""
        self._store_failures = 0
        self.progress.add(size)

    def fail(self, seeany_task_id: str, file: str, error: Exception, *, asking: Exception | None = None) -> None:
        """
        Record that a file, or all files of a task, cannot be stored, and why.

        :param asking: why SeeAny, asked for a new URL, had none.
        """
        self._store_failures += isinstance(error, StoreError)
        reason = f"{file}: {error}" if file else str(error)
        if asking is not None:
            reason += f". SeeAny was asked for a new URL: {asking}"
        # A CDN may be late with a file.
        may_appear = isinstance(error, ApiError) and error.http_status in EXPIRED_STATUSES and asking is None
        if may_appear or not isinstance(asking or error, PermanentError | AirflowFailException):
            self._can_retry = True
        self._failures.append(Failure(seeany_task_id, sanitize(reason)))
        self.progress.fail(self._failures[-1])


@contextmanager
def _time_limit_after(cancel: Callable[[], None]) -> Iterator[None]:
    """
    Let Airflow's time limit cancel what runs in the block, and raise its exception after that.

    Its signal comes once and raises where it finds the main thread. In a callback of asyncio that would be swallowed.
    """
    handler = signal.getsignal(signal.SIGALRM)
    if not callable(handler) or current_thread() is not main_thread():
        yield
        return
    received: list[Any] = []

    def note(*signal_and_frame: Any) -> None:
        received[:] = signal_and_frame
        cancel()

    signal.signal(signal.SIGALRM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        if received:
            handler(*received)


class _TaskDownload:
    """The download of the files of one task."""

    def __init__(
        self, folder: Folder, settings: DownloadSettings, fetcher: Fetcher, active: asyncio.Semaphore, all_: Download
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._fetcher = fetcher
        self._active = active
        self._all = all_
        self._id = folder.source.seeany_task_id
        self._asking: asyncio.Task[SeeAnyTask] | None = None
        """The one request for new URLs, shared by all files."""

    async def run(self) -> list[Entry]:
        """Store the files that are not there yet; return those that are there at the end."""
        try:
            self._all.check_store()
            await asyncio.to_thread(self._folder.read)
            files = files_of(self._folder.source.task or await self._ask(), self._settings.files)
            if self._folder.source.task is None:
                self._all.progress.learn(len(files))
            if not files:
                raise PermanentError(f"its result has no {', '.join(self._settings.files)}")
            kept = await asyncio.to_thread(self._kept, files)
            for entry in kept.values():
                self._all.progress.add(entry.size, is_kept=True)
            if len(kept) < len(files):
                await asyncio.to_thread(self._folder.sweep)
            stored = await asyncio.gather(*(self._store(file) for file in files if file.name not in kept))
            await asyncio.to_thread(self._folder.write_index)
        except asyncio.CancelledError:
            with suppress(StoreError):
                await asyncio.to_thread(self._folder.write_index)
            raise
        except (AirflowException, ApiError, StoreError) as error:
            self._all.fail(self._id, "", error)
            return []
        entries = kept | {entry.file: entry for entry in stored if entry is not None}
        return [entries[file.name] for file in files if file.name in entries]

    def _kept(self, files: list[ResultFile]) -> dict[str, Entry]:
        if self._settings.overwrite:
            return {}
        return {file.name: entry for file in files if (entry := self._folder.kept(file)) is not None}

    async def _store(self, file: ResultFile) -> Entry | None:
        async with self._active:
            asking = None
            try:
                self._all.check_store()
                try:
                    entry = await self._fetch(file)
                except ApiError as error:
                    if error.http_status not in EXPIRED_STATUSES:
                        raise
                    expired = error
                    try:
                        fresh = await self._fresh(file)
                    except AirflowException as error:
                        asking = error
                        raise expired from None
                    entry = await self._fetch(fresh)
            except (ApiError, StoreError) as error:
                self._all.fail(self._id, file.name, error, asking=asking)
                return None
        self._all.add(entry.size)
        return entry

    async def _fetch(self, file: ResultFile) -> Entry:
        name = ""

        def open_sink(extension: str) -> Sink:
            nonlocal name
            name, writer = self._folder.writer(file, extension)
            return writer

        progress, max_size = self._all.progress, self._settings.max_file_size
        fetched = Fetched(file.url, open_sink, max_size=max_size, on_written=progress.report)
        with progress.receiving(fetched):
            await self._fetcher.fetch(fetched)
        return self._folder.add(file, name, fetched)

    async def _fresh(self, file: ResultFile) -> ResultFile:
        """Return a file with its URL of today."""
        files = files_of(await self._ask(), self._settings.files)
        # By its path if that is one file's alone, as the number of an image is only its place in the list of today.
        same = [fresh for fresh in files if public_url(fresh.url) == public_url(file.url)]
        if len(same) != 1:
            same = [fresh for fresh in files if fresh.name == file.name]
        if not same:
            raise SeeAnyError("the result has no such file any more")
        return file._replace(url=same[0].url)

    async def _ask(self) -> SeeAnyTask:
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._all.ask(self._id))
        return await self._asking
