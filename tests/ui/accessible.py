"""What a test asks of a page for those who use it with a keyboard or a screen reader."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.ui.conftest import REPOSITORY

AXE = REPOSITORY / "node_modules" / "axe-core" / "axe.min.js"

# A button that was just clicked fades from one colour to the other; a spinner never ends.
END_TRANSITIONS = "document.getAnimations().forEach(each => { try { each.finish(); } catch {} })"


def serious_findings(page: Page, within: str) -> list[str]:
    """Return the serious and critical violations that axe finds in a part of the page."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate(END_TRANSITIONS)
    found: list[dict[str, Any]] = page.evaluate(
        "within => axe.run(within, {resultTypes: ['violations']}).then(results => results.violations)", within
    )
    return [
        f"{each['id']}: {[node['html'][:200] for node in each['nodes']]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def serious_findings_in_both_themes(page: Page, within: str) -> list[str]:
    """Return those violations in the light theme, in which the page is, and in the dark one."""
    light = page.evaluate("getComputedStyle(document.body).color")
    found = serious_findings(page, within)
    # As Airflow's UI does when the viewer changes the theme.
    change = "theme => Object.assign(document.documentElement, {className: theme}).style.colorScheme = theme"
    page.evaluate(change, "dark")
    page.wait_for_function("light => getComputedStyle(document.body).color !== light", arg=light)
    found += serious_findings(page, within)
    page.evaluate(change, "light")
    return found


def our_part(page: Page, anchor: str) -> str:
    """Mark the plugin's part of the page, and return its selector."""
    page.get_by_role("heading", name=anchor, exact=True).first.evaluate(
        "node => { const part = node.parentElement.parentElement; part.setAttribute('data-ours', ''); }"
    )
    return "[data-ours]"


def focused(page: Page) -> str:
    """Return the name of the focused element; fail if its focus is not visible."""
    name, visible = page.evaluate(
        """() => {
            const node = document.activeElement, style = getComputedStyle(node);
            const label = node.labels?.[0]?.textContent ?? node.getAttribute('aria-label') ?? node.textContent;
            // The focus ring of a video's controls is drawn by the browser, out of reach.
            const visible = style.outlineStyle !== 'none' || style.boxShadow !== 'none' || node.tagName === 'VIDEO';
            return [label, visible];
        }"""
    )
    assert visible, f"nothing shows that {name!r} has the focus"
    return str(name)


def tab_to(page: Page, name: str, *, maximum: int = 60) -> list[str]:
    """Press Tab until something of this name has the focus, and return the names on the way."""
    passed: list[str] = []
    while not passed or passed[-1] != name:
        assert len(passed) < maximum, f"{name!r} is not reached by Tab, but {passed}"
        page.keyboard.press("Tab")
        passed.append(focused(page))
    return passed
