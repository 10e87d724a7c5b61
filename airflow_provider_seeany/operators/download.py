"""The download operator: copies the files of a result into storage of your own, before their URLs expire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_seeany import DEFAULT_CONN_ID
from airflow_provider_seeany.download.settings import FILES, DownloadSettings

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_seeany.download.manifest import Entry
    from airflow_provider_seeany.download.progress import DownloadProgress, Push
    from airflow_provider_seeany.download.run import Download


class SeeAnyDownloadOperator(BaseOperator):
    """
    Copies the files of SeeAny tasks into storage of your own: a folder, S3, or any other ``ObjectStoragePath``.

    A file appears only when it is complete: ``video.mp4``, ``thumbnail.jpg``, ``image-001.png`` in a folder named after
    the task's id, and ``seeany.json`` beside them, with their sizes and checksums. What is there already is not fetched
    again, so a retry, a clear or another run continues where the last one stopped. Connections that break off are
    resumed. If some files fail, all others are stored, and ``SeeAnyDownloadError`` lists the failures.

    ``return_value`` lists the files: ``id``, ``file`` (``video``, ``thumbnail``, ``image-001``), ``source`` (the URL
    without its query), ``path``, ``size``, ``sha256``, ``content_type``. If that is larger than 48 KB, some 150 files,
    it is stored as ``manifest-….json`` in ``path``, and ``return_value`` is
    ``{"manifest": its URL, "files": 1200, "bytes": 3400000000}``.

    :param result: the result of a SeeAny sensor, operator or batch, or a list of them: ``wait.output`` (templated).
    :param seeany_task_ids: ids instead: a list, an XComArg, or a template that renders to a list.
    :param path: the folder to copy to, for example ``s3://bucket/{{ dag.dag_id }}/`` (templated).
    :param conn_id: the Airflow connection of that storage (templated).
    :param seeany_conn_id: the connection through which results are requested that were not given, and once for a new
        URL where one has expired (templated). The files themselves are fetched without any key.
    :param files: what to copy: some of ``video``, ``thumbnail`` and ``images``, which are all other files.
    :param max_active_files: maximum files that are fetched at once. Each takes up to some 12 MiB of memory.
    :param max_file_size: the largest file to fetch, in bytes or as text: ``500MB``, ``2GiB``.
    :param min_bytes_per_second: a connection that is slower for 30 s is replaced by another one, which continues where
        it was; after three in a row the file fails, and a retry of the task tries again. In bytes or as text: ``4KiB``.
    :param overwrite: fetch files that are there already, too.
    :param allow_private_addresses: allow URLs that lead to private, loopback and link-local addresses, such as those of
        a simulator. Otherwise they are refused, as the workers' network is not for a response to choose.
    """

    template_fields: Sequence[str] = ("result", "seeany_task_ids", "path", "conn_id", "seeany_conn_id")
    ui_color = "#e8f0fe"

    _download: Download | None = None
    _entries: list[Entry] | None = None

    def __init__(
        self,
        *,
        path: str,
        result: Any = None,
        seeany_task_ids: Sequence[str] | str | None = None,
        conn_id: str | None = None,
        seeany_conn_id: str = DEFAULT_CONN_ID,
        files: Sequence[str] = FILES,
        max_active_files: int = 4,
        max_file_size: int | str = "2GiB",
        min_bytes_per_second: int | str = "4KiB",
        overwrite: bool = False,
        allow_private_addresses: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.result = result
        self.seeany_task_ids = seeany_task_ids
        self.path = path
        self.conn_id = conn_id
        self.seeany_conn_id = seeany_conn_id
        self.files = files
        self.max_active_files = max_active_files
        self.max_file_size = max_file_size
        self.min_bytes_per_second = min_bytes_per_second
        self.overwrite = overwrite
        self.allow_private_addresses = allow_private_addresses
        if (result is None) == (seeany_task_ids is None):
            raise ValueError("Give either result, such as result=wait.output, or seeany_task_ids")
        DownloadSettings.of(self)  # refuses bad values where the DAG is parsed

    def execute(self, context: Context) -> list[dict[str, Any]] | dict[str, Any]:
        """Store the files and return the manifest."""
        from airflow_provider_seeany.download.progress import DownloadProgress
        from airflow_provider_seeany.exceptions import SeeAnyDownloadError

        progress = DownloadProgress(self.log, self._push(context))
        try:
            return self._store(context, progress)
        except SeeAnyDownloadError:
            raise  # it has reported each failure
        except AirflowException as error:
            progress.break_off(error)
            raise

    def _store(self, context: Context, progress: DownloadProgress) -> list[dict[str, Any]] | dict[str, Any]:
        from airflow_provider_seeany.download.manifest import manifest
        from airflow_provider_seeany.download.run import Download
        from airflow_provider_seeany.download.source import sources
        from airflow_provider_seeany.download.store import make_store
        from airflow_provider_seeany.hooks.seeany import SeeAnyHook

        settings = DownloadSettings.of(self)
        wanted = sources(result=self.result, seeany_task_ids=self.seeany_task_ids)
        store = make_store(self.path, conn_id=self.conn_id, max_file_size=settings.max_file_size)
        hook = SeeAnyHook(self.seeany_conn_id)
        hook.mode = "download"
        self._download = Download(store, settings, hook=hook, progress=progress)
        self._entries = self._download.run(wanted)
        stored = manifest(store, self._entries, run=_names_of(context["ti"]))
        if self.outlets:
            from airflow_provider_seeany.xcoms.asset_events import download_extra, fill_outlet_events

            fill_outlet_events(self, context, download_extra(stored, path=store.url()), alias_uri=store.url())
        return stored

    def _push(self, context: Context) -> Push | None:
        """Return what pushes the progress for the UI, unless that is off or there is none."""
        from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

        from airflow_provider_seeany.hooks.connection import runs_in_one_process
        from airflow_provider_seeany.xcoms.record import Progress
        from airflow_provider_seeany.xcoms.result import publishes_progress, push_record
        from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

        if not (self.do_xcom_push and publishes_progress()):
            return None
        # There, no message may be sent while another thread sends one.
        if not AIRFLOW_V_3_2_PLUS or runs_in_one_process():
            return None
        return lambda copies, percent: push_record(
            Progress.of_copies(copies, percent=percent, conn_id=self.seeany_conn_id), TaskInstanceKey.of(context["ti"])
        )

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the files and their copies for OpenLineage, whose listener calls this; nothing for a failure."""
        from airflow_provider_seeany.lineage import lineage_of_copies

        return None if self._entries is None else lineage_of_copies(self._entries)

    def on_kill(self) -> None:
        """Discard what is unfinished when a user or a time limit ends the task."""
        if self._download is not None:
            self._download.cancel()


def _names_of(task_instance: Any) -> tuple[str, ...]:
    key = (task_instance.dag_id, task_instance.task_id, task_instance.run_id)
    return key if task_instance.map_index < 0 else (*key, str(task_instance.map_index))
