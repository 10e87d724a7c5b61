"""The report of an experiment: a page of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from chaos.experiment import PHASES, Findings
from chaos.plan import WAITS, PlannedWait
from chaos.verdict import problems, seconds_late


def report(findings: Findings) -> tuple[str, int]:
    """Return the text and the number of problems."""
    wrong = [
        f"{wait.task_id} {problem}"
        for wait in WAITS
        for problem in problems(wait, findings.observed[wait.task_id], findings.service)
    ]
    wrong += [
        f"nothing was tested when {applied.disruption.what}: no wait was running there"
        for applied in findings.applied
        if not applied.waits and not applied.disruption.may_miss
    ]
    return "\n".join(_lines(findings, wrong)), len(wrong)


def _lines(findings: Findings, wrong: list[str]) -> Iterator[str]:
    yield f"{findings.name} ({findings.seconds:.0f} s)"
    yield f"  waits      {len(WAITS)}: {_counted(WAITS)}"
    for phase in PHASES:
        yield f"  phase      {phase.begins:.0f} to {phase.ends:.0f} s: the API {phase.mode.value}"
    for applied in findings.applied:
        yield f"  disruption at {applied.seconds:.0f} s, on {applied.waits} waits: {applied.disruption.what}"
    faults = ", ".join(f"{times} × {name}" for name, times in sorted(findings.faults.items()))
    yield f"  faults     {findings.faults.total()}: {faults}; new connections were refused while it was down"
    tasks = sum(len(wait.seeany_task_ids) for wait in WAITS)
    yield f"  requests   {findings.requests} that reached the API, for {tasks} SeeAny tasks"
    for name, late in _delays(findings).items():
        worst, wait = max(late)
        middle = median(seconds for seconds, _ in late)
        yield f"  {name:10} {worst:.1f} s at worst ({wait}), {middle:.1f} s in the median"
    ends = [observed.end.timestamp() for observed in findings.observed.values() if observed.end]
    if ends:
        healthy_at = findings.service.began + max(phase.ends for phase in PHASES)
        yield f"  over       {max(ends) - healthy_at:.0f} s after the last phase"
    nothing = "none: no wait lost or duplicated, each in the right state with the right XComs"
    yield f"  problems   {len(wrong) or nothing}"
    for problem in wrong:
        yield f"    {problem}"


def _counted(waits: tuple[PlannedWait, ...]) -> str:
    modes = Counter(f"{'worker-free ' if wait.worker_free else ''}{wait.kind}" for wait in waits)
    ends = Counter(wait.outcome for wait in waits)
    return f"{_list(modes)}; {_list(ends)}"


def _list(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{times} {name}" for name, times in counts.items())


def _delays(findings: Findings) -> dict[str, list[tuple[float, str]]]:
    """Return the delays of the waits that ended, by kind: after the task's end or after the timeout."""
    delays: dict[str, list[tuple[float, str]]] = {}
    for wait in WAITS:
        late = seconds_late(wait, findings.observed[wait.task_id], findings.service)
        if late is not None:
            name = "overtime" if wait.outcome == "timed out" else "delay"
            delays.setdefault(name, []).append((late, wait.task_id))
    return delays
