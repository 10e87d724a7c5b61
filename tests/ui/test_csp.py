"""Page and tab behind a proxy that sets a strict Content-Security-Policy."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from playwright.sync_api import Page, expect

from tests.hostile import in_background
from tests.ui.accessible import our_part, serious_findings
from tests.ui.conftest import PREFIX, OpenPage, Ui, has_tab_and_page

pytestmark = [pytest.mark.ui, has_tab_and_page]

# Airflow's own UI writes its styles at run time, and wants a worker from a blob.
STRICT = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
    "img-src 'self' https: http://127.0.0.1:*; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
WITH_FILES = f"{STRICT}; media-src 'self' https: http://127.0.0.1:*; connect-src 'self' https: http://127.0.0.1:*"
"""With what `docs/deploy.md` adds."""

HOP_BY_HOP = ("Transfer-Encoding", "Content-Length", "Connection")

NOTE = """
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => globalThis.violations.push({
        directive: event.effectiveDirective, blocked: event.blockedURI, file: event.sourceFile, sample: event.sample,
    }));
"""


class Proxy:
    """Passes requests on to Airflow, and adds a policy to the responses."""

    policy = STRICT

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""

    async def serve(self) -> Coroutine[Any, Any, None]:
        """Start listening; what this returns stops it."""
        self._session = ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

        async def stop() -> None:
            await runner.cleanup()
            await self._session.close()

        return stop()

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        options: dict[str, Any] = {"headers": headers, "data": await request.read(), "allow_redirects": False}
        async with self._session.request(request.method, f"{self.upstream}{request.raw_path}", **options) as response:
            kept = {name: value for name, value in response.headers.items() if name not in HOP_BY_HOP}
            kept["Content-Security-Policy"] = self.policy
            return web.Response(status=response.status, headers=kept, body=await response.read())


@pytest.fixture(scope="module")
def proxy(ui: Ui) -> Iterator[Proxy]:
    proxy = Proxy(ui.airflow.url.removesuffix(PREFIX))
    with in_background(proxy.serve):
        yield proxy


@pytest.fixture
def open_behind(proxy: Proxy, open_page: OpenPage) -> OpenPage:
    def open_behind(policy: str, address: str, **more: Any) -> Page:
        proxy.policy = policy
        through = address.replace(proxy.upstream, proxy.url)
        # Nothing of an earlier visit, when the policy was another one.
        return open_page(through, before=lambda page: page.add_init_script(NOTE), is_first_visit=True, **more)

    return open_behind


def violations(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("globalThis.violations")
    return found


def wait_until(page: Page, expression: str) -> None:
    """Wait until JavaScript is true. Under the policy `Page.wait_for_function` fails if it is not at once."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never true: {expression}")


SCREENS = {
    "page": ("", "link", "finished"),
    "table": ("?view=table&spend=open", "columnheader", "Cost"),
    "finished": (None, "heading", "video-3s-red-shoes"),
    "image_set": (None, "img", "Image 1"),
    "batch": (None, "region", "Batch"),
    "under_way": (None, "progressbar", ""),
    "refused": (None, "region", "Batch"),
}


@pytest.mark.parametrize("screen", SCREENS)
def test_with_the_files_allowed_nothing_of_ours_is_refused(ui: Ui, open_behind: OpenPage, screen: str) -> None:
    query, role, name = SCREENS[screen]
    address = ui.task(screen) if query is None else f"{ui.page}{query}"
    page = open_behind(WITH_FILES, address)

    expect(page.get_by_role(role, name=name).first).to_be_visible()  # type: ignore[arg-type]
    wait_until(page, "[...document.querySelectorAll('video')].every(video => video.readyState >= 1)")
    assert violations(page) == []


def test_the_policy_is_enforced(ui: Ui, open_behind: OpenPage) -> None:
    page = open_behind(WITH_FILES, ui.task("finished"), expected_error="Content Security Policy")
    expect(page.get_by_role("heading", name="video-3s-red-shoes")).to_be_visible()

    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: '1'}))")
    wait_until(page, "globalThis.violations.some(each => each.directive === 'script-src-elem')")


def test_where_videos_are_not_allowed_links_stand_in_their_place(ui: Ui, open_behind: OpenPage) -> None:
    page = open_behind(STRICT, ui.task("finished"), expected_error="Content Security Policy")

    expect(page.get_by_text("Blocked by this page's Content-Security-Policy (media-src).")).to_be_visible()
    host = ui.files_url.removeprefix("http://")
    expect(page.get_by_text(f"has to add {host} to media-src.")).to_be_visible()
    expect(page.get_by_role("link", name="Open original").first).to_have_attribute("href", re.compile("output.mp4"))
    assert {each["directive"] for each in violations(page)} == {"media-src"}


def test_where_files_may_not_be_fetched_all_are_listed(ui: Ui, open_behind: OpenPage) -> None:
    page = open_behind(STRICT, ui.task("image_set"), expected_error="Content Security Policy")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    assert download.value.suggested_filename == "urls.txt"
    policy = "This page's Content-Security-Policy allows no download of 5 files (connect-src)."
    expect(page.get_by_text(policy)).to_be_visible()


def test_a_picture_that_the_policy_refuses_says_so(ui: Ui, open_behind: OpenPage) -> None:
    policy = WITH_FILES.replace("img-src 'self' https: http://127.0.0.1:*", "img-src 'self'")
    page = open_behind(policy, ui.task("image_set"), expected_error="Content Security Policy", language="zh", dark=True)

    expect(page.get_by_text("被此页面的内容安全策略（Content-Security-Policy 的 img-src）阻止。")).to_have_count(5)
    assert serious_findings(page, our_part(page, "images-3s-5x-sandals")) == []
