"""The demo's output: live bars on a terminal, plain lines elsewhere, and the tables at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.check import Evidence, Verdict, totals_text
from demo.plan import WaitName
from demo.progress import View, WaitView

# The colours of Airflow's UI, as far as a terminal has them.
_STATE_STYLES = {
    "success": "green",
    "failed": "red",
    "running": "bright_green",
    "deferred": "medium_purple1",
    "queued": "bright_black",
    "scheduled": "bright_black",
    "upstream_failed": "dark_orange",
}
_PLAIN_WIDTH = 120
_MIN_WIDTH = 40
# Without a terminal a wait gets a new line each time it has advanced by this many per cent.
_PLAIN_STEP = 10


def make_console() -> Console:
    """Return a console for standard output; the log of a CI job is wider than rich's default of 80 columns."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PLAIN_WIDTH
    console.width = max(console.width, _MIN_WIDTH)
    return console


def bars(view: View) -> RenderableType:
    """Draw all waits at one moment."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("wait", no_wrap=True)
    table.add_column("SeeAny task", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("", ratio=1, min_width=8)
    table.add_column("", justify="right", no_wrap=True, min_width=5)
    table.add_column("left", justify="right", no_wrap=True, min_width=4)
    for wait in view.waits:
        style = _STATE_STYLES.get(wait.shown_state, "")
        table.add_row(
            str(wait.name),
            Text(wait.seeany_id),
            Text(wait.shown_state, style),
            ProgressBar(
                total=100, completed=wait.percent, complete_style=style or "bright_black", finished_style=style
            ),
            _percent(wait),
            _left(wait),
        )
    return Group(
        table,
        Text(),
        Text.assemble(
            ("workers busy: ", "dim"),
            (str(view.busy_workers), "bold"),
            ("   waits in the triggerer: ", "dim"),
            (str(view.deferred), "bold"),
            (f"   {view.seconds:.0f} s", "dim"),
        ),
    )


class Screen:
    """Shows a run while it lasts, as the console allows."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._shown: dict[WaitName, tuple[str, float]] = {}
        self._all_waited = False

    def say(self, text: str) -> None:
        """Write one line."""
        self.console.print(Text(text, "dim"))

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Show live bars, and leave them on the screen at the end."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=4) as self._live:
            yield
        self._live = None

    def show(self, view: View) -> None:
        """Show the progress."""
        if self._live is not None:
            self._live.update(bars(view))
            return
        for wait in view.waits:
            self._show_line(view, wait)
        if view.all_wait and not self._all_waited:
            self._all_waited = True
            self.console.print(
                f"{view.seconds:5.0f} s  all {view.deferred} waits are deferred; workers busy: {view.busy_workers}"
            )

    def _show_line(self, view: View, wait: WaitView) -> None:
        state, percent = self._shown.get(wait.name, ("-", 0.0))
        if wait.shown_state == state and (wait.has_ended or wait.percent < percent + _PLAIN_STEP):
            return
        self._shown[wait.name] = (wait.shown_state, wait.percent)
        words = [f"{view.seconds:5.0f} s", f"{wait.name!s:<14}", f"{wait.seeany_id:<20}", f"{wait.shown_state:<9}"]
        if not wait.has_ended and wait.progress is not None:
            left = _left(wait)
            words.append(f"{_percent(wait):>5}" + (f", about {left} left" if left else ""))
        self.console.print(Text("  ".join(words).rstrip()))


def received_table(evidence: Evidence) -> Table:
    """Draw the XComs that the downstream tasks received."""
    table = Table(
        title="What the downstream tasks received",
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column("from", no_wrap=True)
    table.add_column("video_url or result_urls", overflow="fold")
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("length, size", no_wrap=True)
    table.add_column("completed_at", overflow="fold")
    for each in evidence.received:
        table.add_row(
            str(each.name),
            Text(_urls(each.xcoms)),
            Text(totals_text({each.unit: each.xcoms["cost"]} if "cost" in each.xcoms else {})),
            Text(_length_and_size(each.payload)),
            Text(str(each.payload.get("completed_at", ""))),
        )
    return table


def result(evidence: Evidence, verdict: Verdict, *, max_deferred: int, busy: int | None) -> RenderableType:
    """Draw the output below the bars when the run has ended."""
    parts: list[RenderableType] = [Text()]
    if evidence.received:
        parts.append(received_table(evidence))
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    if evidence.failure:
        text = f"{evidence.failure.get('exception')}: {evidence.failure.get('text')}"
        facts.add_row("handled failure", Text(text))
    facts.add_row("total cost", Text(totals_text(evidence.totals) or "none"))
    workers = "" if busy is None else f", workers busy meanwhile: {busy}"
    facts.add_row("waits at once", Text(f"{max_deferred} in the triggerer{workers}"))
    parts += [*([Text()] if evidence.received else []), facts, Text()]
    parts += [Text(f"note: {note}", "yellow") for note in verdict.notes]
    if verdict.passed:
        parts.append(Text("PASS", "bold green"))
    else:
        parts += [Text(f"FAIL: {problem}", "bold red") for problem in verdict.problems]
    return Group(*parts)


def _urls(xcoms: Mapping[str, Any]) -> str:
    if video := xcoms.get("video_url"):
        return str(video)
    urls = xcoms.get("result_urls") or [""]
    return str(urls[0]) + (f"\nand {len(urls) - 1} more" if len(urls) > 1 else "")


def _length_and_size(payload: Mapping[str, Any]) -> str:
    length = f"{payload['duration']} s" if "duration" in payload else ""
    return ", ".join(part for part in (length, str(payload.get("resolution", ""))) if part)


def _percent(wait: WaitView) -> str:
    known = wait.state == "success" or (wait.progress is not None and wait.progress.percent is not None)
    return f"{wait.percent:.0f} %" if known else ""


def _left(wait: WaitView) -> str:
    # A wait that is back in a worker is about to end.
    if wait.state != "deferred" or wait.progress is None or wait.progress.seconds_left is None:
        return ""
    seconds = wait.progress.seconds_left
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
