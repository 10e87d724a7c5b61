"""Makes README, changelog, example DAGs and the like pages of the documentation site, and links lead to them."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import basename, dirname, join, normpath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent

PAGES = {
    "README.md": "index.md",
    "README.zh.md": "index.zh.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""The files of the repository that are pages of the site, and their names there."""

EXAMPLES = "example_dags"
"""The folder whose files are together one more page."""

_SOURCES = {page: source for source, page in PAGES.items()}
_CODE_BLOCKS = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
# The site has a menu of its own for what the line below a page's title links.
_OTHER_LANGUAGE = re.compile(r"^\[(?:中文|English)\]\(.*\n", re.MULTILINE)
# A line break within Chinese text, which a browser would draw as a space.
_LINE_BREAK = re.compile(
    r"(?<=[\u3000-\u9fff\uff00-\uffef])\n *(?=[\u3000-\u9fff\uff00-\uffef])|(?<=[、。，；：）])\n *(?=[A-Za-z`\[])"
)
_ROLE = re.compile(r":\w+:<code>~?(?:\w+\.)*(\w+)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages whose text is outside docs/."""
    for page in (*_SOURCES, "examples.md"):
        files.append(File(page, config.docs_dir, config.site_dir, config.use_directory_urls))
    return files


def on_page_read_source(page: Page, config: MkDocsConfig) -> str:
    """Return a page's text with the links of the site."""
    if page.file.src_uri == "examples.md":
        return _examples()
    path = _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    text = _OTHER_LANGUAGE.sub("", (ROOT / path).read_text("utf-8"))
    parts = _CODE_BLOCKS.split(text)
    parts[::2] = [
        _LINK.sub(lambda link: _site_link(path, *link.groups()), _LINE_BREAK.sub("", part)) for part in parts[::2]
    ]
    text = "".join(parts)
    # Of an English page among the Chinese ones, links lead to Chinese pages, whose headings have other anchors.
    is_stand_in = page.file.locale != page.file.locale_alternate_of
    return re.sub(r"(\.md)#[^)]+\)", r"\1)", text) if is_stand_in else text


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw a docstring's reference to a class as code."""
    return _ROLE.sub(r"<code>\1</code>", html)


def _examples() -> str:
    files = sorted((ROOT / EXAMPLES).glob("*.py"))
    return "# Example DAGs\n" + "".join(
        f"\n## {file.name}\n\n```python\n{file.read_text('utf-8')}```\n" for file in files
    )


def _site_link(source: str, text: str, target: str) -> str:
    """Return a link of a file as the site has it: what is not on the site is only named."""
    path, hash_, anchor = target.partition("#")
    if not path or "://" in target:
        return f"[{text}]({target})"
    path = normpath(join(dirname(source), path))
    if path == EXAMPLES:
        page = "examples.md"
    elif dirname(path) == EXAMPLES:
        page = f"examples.md#{basename(path).replace('.', '')}"
    elif path.startswith("docs/"):
        page = path.removeprefix("docs/")
    else:
        page = PAGES.get(path, "")
    if not page:
        return f"`{text}`" if re.fullmatch(r"[\w./-]+", text) else text
    return f"[{text}]({page}{hash_}{anchor})"
