"""
Audits the dependencies: known vulnerabilities where pip-audit reaches its data, and always what the registry knows.

What needs nothing but the registry: no pinned version was withdrawn ("yanked"), each comes from the registry and not
from an address, and the lowest versions that are allowed are no lower than those in ``FIXED``, which fixed
known flaws.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PINNED = REPOSITORY / "constraints.txt"
LOWEST = REPOSITORY / "constraints-lowest.txt"

FIXED = {
    "aiohttp": ("3.13.4", "CVE-2026-22815 and others: denial of service by what is received"),
    "certifi": ("2024.7.4", "CVE-2024-39689: a certificate authority that is no longer trusted"),
    "requests": ("2.32.4", "CVE-2024-47081: credentials of ~/.netrc sent to another host"),
}
"""Dependencies that handle key and responses: the first version without the flaws that reach their use here."""


def main() -> None:
    """Run all of it; exit non-zero if something is wrong."""
    wrong = [*_not_from_the_registry(PINNED), *_too_low(LOWEST)]
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        tools = Path(directory) / "bin"
        _run(str(tools / "python"), "-m", "pip", "install", "--quiet", "uv", "pip-audit")
        for file in (PINNED, LOWEST):
            wrong += _withdrawn(tools, file)
        wrong += _vulnerable(tools, PINNED)
    if wrong:
        sys.exit("\n".join(wrong))


def _pins(file: Path) -> dict[str, str]:
    lines = (line.partition(";")[0].strip() for line in file.read_text().splitlines())
    return {name: version for name, _, version in (line.partition("==") for line in lines) if version}


def _not_from_the_registry(file: Path) -> list[str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return [
        f"{file.name}: {line} is no version of the registry" for line in lines if not re.match(r"[\w.-]+==\S", line)
    ]


def _too_low(file: Path) -> list[str]:
    pins = _pins(file)
    return [
        f"pyproject.toml allows {name} {pins[name]}; {version} fixed {what}"
        for name, (version, what) in FIXED.items()
        if _number(pins[name]) < _number(version)
    ]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _withdrawn(tools: Path, file: Path) -> list[str]:
    output = _run(
        *(str(tools / "uv"), "pip", "install", "--dry-run", "--no-deps", "--python", str(tools / "python")),
        *("--requirement", str(file)),
    )
    print(f"{file.name}: {len(_pins(file))} versions looked up in the registry")
    return [f"{file.name}: {line}" for line in output.splitlines() if "yanked" in line]


def _vulnerable(tools: Path, file: Path) -> list[str]:
    command = [str(tools / "pip-audit"), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    audit = subprocess.run(
        [*command, "--requirement", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    output = audit.stdout
    verdict = re.search(r".*known vulnerabilit.*", output)
    if verdict is None or output.count("could not be audited") >= len(_pins(file)) - 5:
        print("pip-audit does not reach its data from here; the checks against the registry have to do")
        return []
    print(f"{file.name}: {verdict[0]}")
    return [output] if audit.returncode else []


def _run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
