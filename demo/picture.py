"""Draws the README's picture: the bars half way and the result, as a self-contained SVG."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console, RenderableType
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from demo.progress import View
from demo.screen import bars

_WIDTH = 118

# As rich's own, without web fonts: a README's picture must not load anything.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>\
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Album:
    """Keeps the view of a run that shows most: the waits about half way."""

    def __init__(self) -> None:
        """Start empty."""
        self.best: View | None = None

    def take(self, view: View) -> None:
        """Keep this view if it is a better picture than the last one."""
        if self.best is None or _appeal(view) > _appeal(self.best):
            self.best = view


def write_picture(file: Path, view: View | None, result: RenderableType) -> None:
    """Write the SVG."""
    console = Console(
        record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    console.print(Text.assemble(("$ ", "dim"), ("make demo", "bold")))
    if view is not None:
        console.print(Text())
        console.print(bars(view))
    console.print(result)
    file.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="make demo", theme=SVG_EXPORT_THEME, code_format=_FORMAT, unique_id="demo")
    file.write_text("\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n", encoding="utf-8")


def _appeal(view: View) -> tuple[bool, float]:
    # By wait: bars of 0 and of 100 % would be half way on average, too.
    return view.all_wait, -sum(abs(wait.percent - 50) for wait in view.waits)
