"""
Measures everything and writes ``benchmarks/RESULTS.md``: ``make bench``, or ``python -m benchmarks``.

Each part is a module that prints a section as Markdown, in a process of its own. With names as arguments, only those
parts are measured, with what follows ``--`` as their arguments. The others come from ``build/bench``, where each part
stores its output, or stay as they are.
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
_OUTPUTS = _FOLDER.parent / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the report."""

    module: str
    """The module that prints it, and its name on the command line."""
    title: str
    is_text: bool = False
    """Whether it prints plain text, not Markdown."""
    only_by_name: bool = False
    """Whether it takes so long that it is measured only if it is named."""


PARTS = (
    Part("poll_cost", "CPU per poll"),
    Part("many_waits", "Memory and event loop"),
    Part("soak", "5000 waits"),
    Part("whole_waits", "Whole waits on a real Airflow"),
    Part("callback", "Waits with a callback"),
    Part("policy", "Poll interval rules, simulated: requests / mean latency / p95 latency"),
    Part("batch", "A batch of 10 000 tasks", is_text=True),
    Part("import_cost", "Importing a sensor"),
    Part("download", "Copying files to S3"),
    Part("scale", "Many waits at once", only_by_name=True),
    Part("triggerer", "A triggerer full of waits", only_by_name=True),
)


def _measure(part: Part, arguments: Sequence[str]) -> None:
    command = " ".join(("python -m", f"benchmarks.{part.module}", *arguments))
    print(f"\n=== {part.title} ({command})", flush=True)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{part.module}", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "AIRFLOW_HOME": home},
        )
    print(done.stdout)
    _OUTPUTS.mkdir(parents=True, exist_ok=True)
    (_OUTPUTS / f"{part.module}.md").write_text(done.stdout, encoding="utf-8")
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {load:.1f} at the start"
    (_OUTPUTS / f"{part.module}.json").write_text(json.dumps({"command": command, "when": when}), encoding="utf-8")


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
    own = ("apache-airflow", "aiohttp", "msgspec", "airflow-provider-seeany")
    packages = (*own, *(peer.package for peer in PEERS), "apache-airflow-providers-amazon")
    for package in packages:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} **not installed, left out**"


def _sections(report: str) -> dict[str, str]:
    """Return the text of each section, by its title."""
    parts = (section.partition("\n") for section in report.split("\n## ")[1:])
    return {title: text.strip() for title, _, text in parts}


def report(last: str) -> Iterator[str]:
    """Yield the report: the last output of each part, or what the last report says of it."""
    written = _sections(last)
    yield "# What a wait costs\n"
    yield "Made by `make bench`; the docstring of each module in `benchmarks/` explains what it measures and how. Wall"
    yield "times depend on the machine and its load, ratios within a round hardly.\n"
    yield f"- Machine: {_machine()}"
    yield f"- Versions: {', '.join(_versions())}"
    for part in PARTS:
        yield f"\n## {part.title}\n"
        output, meta = _OUTPUTS / f"{part.module}.md", _OUTPUTS / f"{part.module}.json"
        if not output.exists():
            yield written.get(part.title, "Not measured.")
            continue
        known = json.loads(meta.read_text())
        yield f"`{known.get('command', f'python -m benchmarks.{part.module}')}`, {known['when']}\n"
        text = output.read_text(encoding="utf-8").strip()
        yield f"```\n{text}\n```" if part.is_text else text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts and write the report."""
    parser = argparse.ArgumentParser(description="Measure what a wait costs.")
    every = sys.argv[1:] if arguments is None else list(arguments)
    split = every.index("--") if "--" in every else len(every)
    names = [part.module for part in PARTS]
    default = [part.module for part in PARTS if not part.only_by_name]
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(names)}; default: {', '.join(default)}"
    )
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    options = parser.parse_args(every[:split])
    if unknown := set(options.parts) - set(names):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for part in PARTS:
        if not options.report_only and part.module in (options.parts or default):
            _measure(part, every[split + 1 :])
    results = _FOLDER / "RESULTS.md"
    text = "\n".join(report(results.read_text(encoding="utf-8"))) + "\n"
    results.write_text(text, encoding="utf-8")
    print("Written to benchmarks/RESULTS.md")


if __name__ == "__main__":
    main()
