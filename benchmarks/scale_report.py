"""The tables of ``benchmarks.scale``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan

from benchmarks.scale_counters import POSTGRES, WORKERS
from benchmarks.scale_dags import INTERVAL, WAYS, Plan

_PROCESSES = (WORKERS, "scheduler", "api-server", "triggerer", "dag-processor")
_TABLES = 10


@dataclass(frozen=True, slots=True)
class Late:
    """
    What took how long, in seconds; None if it did not happen within the limit, NaN if it was not waited for.

    :param asked_after: from the start until each remote task was asked about.
    :param deferred_after: from the start until each wait was deferred.
    :param over_after: from the start until the last success.
    :param noticed: from each remote end to the request that was told of it, sorted.
    :param delays: from each remote end to the success, sorted.
    """

    asked_after: float | None
    deferred_after: float | None
    over_after: float
    noticed: Sequence[float]
    delays: Sequence[float]


@dataclass(frozen=True, slots=True)
class Figures:
    """
    One measurement.

    :param used: CPU seconds by process, transactions and rows, without those of an idle Airflow.
    :param failed: what did not succeed, and why; empty if all did.
    """

    plan: Plan
    used: Mapping[str, float]
    requests: float
    workers: int
    xcoms: int
    xcom_bytes: int
    rows_by_table: Counter[str]
    triggerer_mib: float
    late: Late
    failed: str

    @property
    def cpu(self) -> float:
        """CPU seconds of Airflow, per wait."""
        return self.per_wait(*_PROCESSES)

    def per_wait(self, *names: str) -> float:
        """Return a figure, or the sum of several, per wait."""
        return sum(self.used[name] for name in names) / self.plan.waits

    @property
    def title(self) -> str:
        """The first cells of its rows."""
        return f"| {WAYS[self.plan.way]} | {self.plan.waits} | {self.plan.dags} |"


def _seconds(after: float | None) -> str:
    if after is None:
        return "not in time"
    return "–" if isnan(after) else f"{after:.0f}"


def _percentile(delays: Sequence[float], share: float) -> str:
    return f"{delays[ceil(share * len(delays)) - 1]:.1f}" if delays else "–"


def lines(all_figures: Sequence[Figures], *, cores: int) -> Iterator[str]:
    """Yield the section, as Markdown."""
    per_second = all_figures[0].plan.per_second
    yield f"{cores} cores, polls every {INTERVAL} s, {per_second:g} remote ends a second."
    yield "\nPer wait, minus what an idle Airflow takes:\n"
    yield (
        "| | waits | DAGs | CPU s | PostgreSQL: CPU s | commits | rows inserted | updated | deleted | XComs "
        "| their KiB | worker processes | requests |"
    )
    yield "|---" * 13 + "|"
    for each in all_figures:
        waits = each.plan.waits
        cells = [
            f"{each.cpu:.3f}",
            f"{each.per_wait(POSTGRES):.3f}",
            *(f"{each.per_wait(name):.1f}" for name in ("commits", "tup_inserted", "tup_updated", "tup_deleted")),
            f"{each.xcoms / waits:.1f}",
            f"{each.xcom_bytes / waits / 1024:.2f}",
            f"{each.workers / waits:.2f}",
            f"{each.requests / waits:.1f}",
        ]
        yield f"{each.title} {' | '.join(cells)} |"
    yield "\nSeconds, and the memory (PSS) of the triggerer:\n"
    yield (
        "| | waits | DAGs | all have asked after | all deferred after | end → noticed p50 | p95 "
        "| end → success p50 | p95 | worst | over after | triggerer MiB | did not succeed |"
    )
    yield "|---" * 13 + "|"
    for each in all_figures:
        late = each.late
        cells = [
            *map(_seconds, (late.asked_after, late.deferred_after)),
            *(_percentile(late.noticed, share) for share in (0.5, 0.95)),
            *(_percentile(late.delays, share) for share in (0.5, 0.95, 1.0)),
            f"{late.over_after:.0f}",
            f"{each.triggerer_mib:.0f}",
            each.failed.replace("|", "/") or "–",
        ]
        yield f"{each.title} {' | '.join(cells)} |"
    yield "\nWhere the CPU goes, s per wait:\n"
    yield f"| | waits | DAGs | {' | '.join(_PROCESSES)} |"
    yield "|---" * (3 + len(_PROCESSES)) + "|"
    for each in all_figures:
        yield f"{each.title} {' | '.join(f'{each.per_wait(name):.3f}' for name in _PROCESSES)} |"
    yield "\nRows written per wait, by table, an idle Airflow's included:\n"
    for each in all_figures:
        most = each.rows_by_table.most_common(_TABLES)
        tables = [f"{name} {count / each.plan.waits:.1f}" for name, count in most if count]
        yield f"- {WAYS[each.plan.way]}, {each.plan.waits} waits, {each.plan.dags} DAGs: {', '.join(tables)}"
