"""Builds what a release uploads, checks it, and installs it into a clean environment; uploads nothing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from airflow_provider_seeany import __version__

REPOSITORY = Path(__file__).parents[1]
DIST = REPOSITORY / "dist"
NAME = "airflow-provider-seeany"
PACKAGE = "airflow_provider_seeany"
# Only needed to develop: types for the check of the JavaScript, and what makes the simulator's files.
UNSHIPPED = (".d.ts", ".sh")


def main() -> None:
    """Run all of it; exit non-zero at the first thing that is wrong."""
    check_changelog()
    if changed := run("git", "status", "--porcelain"):
        print(f"Only what is committed is built, so not these changes:\n{changed}")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        sdist, wheel = built_twice(folder)
        run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
        check_wheel(wheel)
        check_sdist(sdist)
        python = str(folder / "venv" / "bin" / "python")
        for file in (sdist, wheel):
            run(".ci/install", str(folder / "venv"), "constraints.txt", str(file))
            check_installation(python, folder)
            run(python, "-m", "pip", "uninstall", "--quiet", "--yes", NAME)
            print(f"{file.name} installs, and Airflow lists it with its connection type")
        DIST.mkdir(exist_ok=True)
        for file in (sdist, wheel):
            shutil.copyfile(file, DIST / file.name)
            print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  dist/{file.name}")
    print(f"What remains for a person: CONTRIBUTING.md says how to publish {__version__}.")


def check_changelog() -> None:
    """Refuse a version whose newest section in the changelog is another one, or has no date."""
    newest = re.search(r"^## (.*)$", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if newest is None or not re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", newest[1]):
        sys.exit(f"CHANGELOG.md does not begin with {__version__} and its date")


def built_twice(folder: Path) -> list[Path]:
    """Return sdist and wheel of the last commit, once two builds elsewhere and with other permissions were the same."""
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    builds = []
    for umask in (0o022, 0o077):
        source, out = folder / f"source-{umask:o}", folder / f"dist-{umask:o}"
        source.mkdir()
        run("git", "archive", "--output", str(folder / "commit.tar"), "HEAD")
        run("tar", "--extract", "--file", str(folder / "commit.tar"), "--directory", str(source), umask=umask)
        # The wheel is built from the sdist; by what constraints.txt pins, which is named in it.
        build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source))
        run(*build, umask=umask, SOURCE_DATE_EPOCH=epoch)
        builds.append(sorted(out.iterdir()))
    for one, other in zip(*builds, strict=True):
        if one.name != other.name or one.read_bytes() != other.read_bytes():
            sys.exit(f"{one.name} differs if it is built again")
    wheel, sdist = builds[0]
    return [sdist, wheel]


def check_wheel(wheel: Path) -> None:
    """Refuse a wheel that has not just the files of the package, or others than plain ones that everybody can read."""
    with zipfile.ZipFile(wheel) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o7777 for entry in archive.infolist()}
    names = {name for name in modes if not name.startswith(f"{PACKAGE}-{__version__}.dist-info/")}
    expected = {name for name in run("git", "ls-files", PACKAGE).splitlines() if not name.endswith(UNSHIPPED)}
    if names != expected:
        sys.exit(f"the wheel lacks {sorted(expected - names)} and also has {sorted(names - expected)}")
    if odd := {name: oct(mode) for name, mode in modes.items() if mode != 0o644}:
        sys.exit(f"the wheel has unusual permissions: {odd}")


def check_sdist(sdist: Path) -> None:
    """Refuse an sdist with links, with commands, or with what only developers need."""
    with tarfile.open(sdist) as archive:
        odd = [entry.name for entry in archive if not entry.isfile() or entry.mode & 0o7777 != 0o644]
        odd += [entry.name for entry in archive if entry.name.endswith(UNSHIPPED) or "__pycache__" in entry.name]
    if odd:
        sys.exit(f"the sdist should not have {odd}")


def check_installation(python: str, home: Path) -> None:
    """Refuse an installation that Airflow does not list, or of another version."""
    listed = run(python, "-m", "airflow", "providers", "list", "--output", "plain", AIRFLOW_HOME=str(home))
    if not re.search(rf"^{NAME}\s.*\s{re.escape(__version__)}\s*$", listed, re.MULTILINE):
        sys.exit(f"Airflow does not list the provider with its version:\n{listed}")
    hooks = run(python, "-m", "airflow", "providers", "hooks", "--output", "plain", AIRFLOW_HOME=str(home))
    if "seeany" not in hooks:
        sys.exit(f"Airflow does not list the connection type:\n{hooks}")
    run(python, "-m", f"{PACKAGE}.simulator", "--help")


def run(*command: str, umask: int = -1, **env: str) -> str:
    """Run a command in the repository, show its output when it fails, and return its output."""
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=umask,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
