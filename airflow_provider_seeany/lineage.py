"""
What OpenLineage is told: the files that a wait made available and what they cost, and the copies of a download.

Only its listener calls for this, so it may import what ``apache-airflow-providers-openlineage`` brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.event_v2 import Dataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet

from airflow_provider_seeany.api.costs import Costs
from airflow_provider_seeany.api.public_url import public_url
from airflow_provider_seeany.api.result_urls import urls_in
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.download.manifest import Entry

MAX_DATASETS = 1000  # maximum files of one event, which is sent and stored as a whole


@define
class SeeAnyRunFacet(RunFacet):
    """
    What a wait, or all tasks of a batch, brought.

    :param cost: by currency, as in the result of a batch.
    :param files: number of files, also if there are too many for one event.
    """

    cost: dict[str, float]
    files: int


def lineage_of(result: SeeAnyTask | Mapping[str, Any]) -> OperatorLineage[Any, Any]:
    """Return the lineage of a completed task, or of the result of a batch."""
    if isinstance(result, SeeAnyTask):
        costs = Costs()
        costs.add(result)
        return _lineage(result.result_urls, costs.totals())
    return _lineage([url for task in result["tasks"] for url in urls_in(task)], result["cost"])


def lineage_of_copies(entries: Iterable[Entry]) -> OperatorLineage[Any, Any]:
    """Return the lineage of a download: its sources, and their copies with checksum and size."""
    told = list(islice(entries, MAX_DATASETS))
    return OperatorLineage(
        inputs=[file_dataset(entry.source) for entry in told], outputs=[_copy_dataset(entry) for entry in told]
    )


def _copy_dataset(entry: Entry) -> OutputDataset:
    scheme, _, rest = entry.path.partition("://")
    where, _, name = rest.partition("/")
    return OutputDataset(
        # As OpenLineage names them: a bucket and a key, or a path of this machine.
        namespace=scheme if scheme == "file" else f"{scheme}://{where.rpartition('@')[2]}",
        name=f"/{name}" if scheme == "file" else name,
        facets={"version": DatasetVersionDatasetFacet(datasetVersion=f"sha256:{entry.sha256}")},
        outputFacets={"outputStatistics": OutputStatisticsOutputDatasetFacet(size=entry.size, fileCount=1)},
    )


def _lineage(urls: Iterable[str], cost: Mapping[str, float]) -> OperatorLineage[Any, Any]:
    files = list(dict.fromkeys(urls))
    return OperatorLineage(
        outputs=[file_dataset(url) for url in islice(files, MAX_DATASETS)],
        run_facets={"seeany": SeeAnyRunFacet(cost=dict(cost), files=len(files))},
    )


def file_dataset(url: str) -> Dataset:
    """Return the dataset of a file by its URL, without what may be secret in it."""
    parts = urlsplit(public_url(url))
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc}", name=parts.path.lstrip("/") or "/")
