"""Says in a page of text what a course of chaos did and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from chaos.course import SPELLS, Findings
from chaos.plan import WAITS, PlannedWait
from chaos.verdict import complaints, seconds_late


def report(findings: Findings) -> tuple[str, int]:
    """Return the text, and how many things went wrong."""
    wrong = [
        f"{wait.task_id} {complaint}"
        for wait in WAITS
        for complaint in complaints(wait, findings.left[wait.task_id], findings.service)
    ]
    wrong += [
        f"nothing was tried when {struck.blow.what}: no wait was under way there"
        for struck in findings.struck
        if not struck.waits and not struck.blow.may_miss
    ]
    return "\n".join(_lines(findings, wrong)), len(wrong)


def _lines(findings: Findings, wrong: list[str]) -> Iterator[str]:
    yield f"{findings.name} ({findings.seconds:.0f} s)"
    yield f"  waits      {len(WAITS)}: {_counted(WAITS)}"
    for spell in SPELLS:
        yield f"  weather    {spell.begins:.0f} to {spell.ends:.0f} s: the API {spell.weather.value}"
    for struck in findings.struck:
        yield f"  blow       at {struck.seconds:.0f} s, on {struck.waits} waits: {struck.blow.what}"
    faults = ", ".join(f"{times} × {name}" for name, times in sorted(findings.faults.items()))
    yield f"  faults     {findings.faults.total()}: {faults}; besides, who came anew while it was down was refused"
    tasks = sum(len(wait.seeany_task_ids) for wait in WAITS)
    yield f"  requests   {findings.requests} that reached the API, about {tasks} SeeAny tasks"
    for name, late in _delays(findings).items():
        worst, wait = max(late)
        middle = median(seconds for seconds, _ in late)
        yield f"  {name:10} {worst:.1f} s at worst ({wait}), {middle:.1f} s in the median"
    ends = [left.end.timestamp() for left in findings.left.values() if left.end]
    if ends:
        calm = findings.service.began + max(spell.ends for spell in SPELLS)
        yield f"  over       {max(ends) - calm:.0f} s after the last bad weather"
    nothing = "nothing: no wait lost, none doubled, each in its right state with its right XComs"
    yield f"  wrong      {len(wrong) or nothing}"
    for complaint in wrong:
        yield f"    {complaint}"


def _counted(waits: tuple[PlannedWait, ...]) -> str:
    ways = Counter(f"{'worker-free ' if wait.worker_free else ''}{wait.kind}" for wait in waits)
    ends = Counter(wait.outcome for wait in waits)
    return f"{_list(ways)}; {_list(ends)}"


def _list(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{times} {name}" for name, times in counts.items())


def _delays(findings: Findings) -> dict[str, list[tuple[float, str]]]:
    """Return the delays of the waits that ended, by what they are counted from."""
    delays: dict[str, list[tuple[float, str]]] = {}
    for wait in WAITS:
        late = seconds_late(wait, findings.left[wait.task_id], findings.service)
        if late is not None:
            name = "overtime" if wait.outcome == "timed out" else "delay"
            delays.setdefault(name, []).append((late, wait.task_id))
    return delays
