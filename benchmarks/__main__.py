"""
Measures everything and writes ``benchmarks/RESULTS.md``: ``make bench``, or ``python -m benchmarks``.

Each part is a module that prints a section as Markdown, and runs in a process of its own. With names as arguments,
only those parts are measured anew; the others are taken from ``build/bench``, where each leaves what it printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contestants import PEERS

_FOLDER = Path(__file__).parent
_KEPT = _FOLDER.parent / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Part:
    """
    One part of the measuring.

    :param module: what prints it, and what it is called on the command line.
    :param title: its heading.
    :param is_text: whether it prints lines of text, not Markdown.
    """

    module: str
    title: str
    is_text: bool = False


PARTS = (
    Part("poll_cost", "CPU per question"),
    Part("many_waits", "Memory and event loop"),
    Part("soak", "5000 waits"),
    Part("whole_waits", "Whole waits on a real Airflow"),
    Part("callback", "Waits that SeeAny wakes"),
    Part("policy", "When to ask again, simulated: requests / mean latency / p95 latency"),
    Part("batch", "A batch of 10 000 tasks", is_text=True),
    Part("import_cost", "Importing a sensor"),
)


def _measure(part: Part) -> None:
    print(f"\n=== {part.title} (python -m benchmarks.{part.module})", flush=True)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{part.module}"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "AIRFLOW_HOME": home},
        )
    print(done.stdout)
    _KEPT.mkdir(parents=True, exist_ok=True)
    (_KEPT / f"{part.module}.md").write_text(done.stdout, encoding="utf-8")
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {load:.1f} at the start"
    (_KEPT / f"{part.module}.json").write_text(json.dumps({"when": when}), encoding="utf-8")


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        models = (line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line)
        model = next(models, model)
    memory = f", {int(meminfo.read_text().split()[1]) / 2**20:.0f} GiB" if meminfo.exists() else ""
    return f"{os.cpu_count()} × {model}{memory}, {platform.system()} {platform.release()}"


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    packages = ("apache-airflow", "aiohttp", "msgspec", "airflow-provider-seeany", *(peer.package for peer in PEERS))
    for package in packages:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} **not installed, left out**"


def report() -> Iterator[str]:
    """Write what was measured last of each part."""
    yield "# What waiting costs, measured\n"
    yield "Made by `make bench`; the text of each module in `benchmarks/` tells what it measures and how. Wall times"
    yield "depend on the machine and on what else it does, ratios formed in the same round hardly.\n"
    yield f"- Machine: {_machine()}"
    yield f"- Versions: {', '.join(_versions())}"
    for part in PARTS:
        yield f"\n## {part.title}\n"
        kept, meta = _KEPT / f"{part.module}.md", _KEPT / f"{part.module}.json"
        if not kept.exists():
            yield "Not measured."
            continue
        when = json.loads(meta.read_text())["when"] if meta.exists() else "no date"
        yield f"`python -m benchmarks.{part.module}`, {when}\n"
        text = kept.read_text(encoding="utf-8").strip()
        yield f"```\n{text}\n```" if part.is_text else text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for and write the report."""
    parser = argparse.ArgumentParser(description="Measure what waiting costs.")
    names = [part.module for part in PARTS]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(names)}; all if none is named")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(names):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for part in PARTS:
        if not options.report_only and part.module in (options.parts or names):
            _measure(part)
    text = "\n".join(report()) + "\n"
    (_FOLDER / "RESULTS.md").write_text(text, encoding="utf-8")
    print("Written to benchmarks/RESULTS.md")


if __name__ == "__main__":
    main()
