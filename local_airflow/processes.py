"""Starts, stops and kills the components of Airflow and their helpers, each a process session with its own log."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from local_airflow import guardian

# A triggerer usually needs 2 s; sometimes it waits 10 s for its own child, which is not worth waiting for.
GRACE_SECONDS = 6.0


class ComponentDiedError(RuntimeError):
    """A component ended without being stopped."""


class Guardian:
    """A tiny process that kills the components when this process is killed before it could stop them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    @property
    def pid(self) -> int:
        """The guardian's own process id."""
        return self._process.pid

    def watch(self, leader: int, mark: str) -> None:
        """Kill this session if the parent vanishes."""
        self._send(f"watch {leader} {mark}")

    def forget(self, leader: int) -> None:
        """Stop watching this session."""
        self._send(f"forget {leader}")

    def dismiss(self) -> None:
        """End the guardian; it kills the sessions that are still watched."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait(15)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        # The stop continues even if the guardian was killed.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


@contextlib.contextmanager
def helper_process(
    command: Sequence[str],
    *,
    log_file: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop_signal: int = signal.SIGTERM,
) -> Iterator[subprocess.Popen[str]]:
    """Run a helper of Airflow, such as a simulator, while the context lasts; it also ends if this process is killed.

    It gets no input, its output can be read from `stdout`, and its errors go to the log file. `environment` replaces
    this process's own; `user` runs it as another user, if this process runs as root.
    """
    mark = f"{secrets.token_hex(16)}-helper"
    with contextlib.ExitStack() as stack:
        guardian_process = Guardian()
        stack.callback(guardian_process.dismiss)
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**(os.environ if environment is None else environment), guardian.MARK: mark},
                text=True,
                user=user,
                group=user,
                extra_groups=None if user is None else (),
                # A Ctrl-C in the terminal must reach only this process, which stops Airflow first.
                start_new_session=True,
            )
        stack.callback(_stop_helper, process, guardian_process, stop_signal)
        guardian_process.watch(process.pid, mark)
        yield process


def _stop_helper(process: subprocess.Popen[str], guardian_process: Guardian, stop_signal: int) -> None:
    try:
        process.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        guardian_process.forget(process.pid)


class Component:
    """One long-running `airflow` command."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log_file: Path,
        guardian: Guardian,
    ) -> None:
        """`environment` is the whole environment, nothing is inherited."""
        self.name = name
        self.log_file = log_file
        self._arguments = tuple(arguments)
        self._environment = dict(environment)
        self._guardian = guardian
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False

    @property
    def pid(self) -> int | None:
        """The process id of the component itself, also after its end; None before its first start."""
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the component's own process runs."""
        return self._process is not None and self._process.poll() is None

    def pids(self) -> set[int]:
        """Return the ids of all living processes of this component, its forks included."""
        return guardian.members(self._process.pid, self._mark) if self._process else set()

    def start(self) -> None:
        """Start the component, without waiting until it is ready."""
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            log.write(f"--- {self.name} starts at {time.strftime('%Y-%m-%dT%H:%M:%S%z')} ---\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # A Ctrl-C in the terminal must reach only this process, which then stops the components.
                start_new_session=True,
            )
        self._guardian.watch(self._process.pid, self._mark)
        self._wanted = True

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the component itself; it ends its children."""
        # Only once: a second signal makes the triggerer stop at once, which takes longer.
        if self._wanted and self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._wanted = False

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Stop the component: SIGTERM, a grace time, then SIGKILL for the rest of its session."""
        self.ask_to_stop()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
            self._kill_session()

    def kill(self) -> None:
        """Kill the component and its forks with SIGKILL, like a crash of its machine."""
        self._wanted = False
        if self._process is not None:
            self._kill_session()

    def suspend(self) -> None:
        """Suspend the component and its forks, like a sleeping machine."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self, *, forks_earlier_by: float = 0.0) -> None:
        """Resume a suspended component; the process that it was started with, so many seconds after its forks."""
        assert self.pid is not None
        for pid in self.pids() - {self.pid}:
            os.kill(pid, signal.SIGCONT)
        time.sleep(forks_earlier_by)
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Stop and start the component."""
        self.stop(grace_seconds)
        self.start()

    def check(self) -> None:
        """Raise with the end of the log if the component ended without being stopped."""
        if self._wanted and self._process is not None and self._process.poll() is not None:
            raise ComponentDiedError(
                f"{self.name} ended with exit code {self._process.returncode}; the end of its log:\n{self.log_tail()}"
            )

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the log."""
        if not self.log_file.exists():
            return ""
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    @property
    def _mark(self) -> str:
        return self._environment.get(guardian.MARK, "")

    def _kill_session(self) -> None:
        assert self._process is not None
        left = guardian.kill_session(self._process.pid, self._mark)
        self._process.wait(5)
        if left:
            raise RuntimeError(f"processes of {self.name} do not end: {sorted(left)}")
        self._guardian.forget(self._process.pid)


def run_to_end(arguments: Sequence[str], *, environment: Mapping[str, str], log_file: Path, timeout: float) -> None:
    """Run one short `airflow` command; raise with the end of its log if it fails."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    try:
        code = process.wait(timeout)
    finally:
        # Also when Ctrl-C or a timeout ends the wait.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code != 0:
        text = log_file.read_text(encoding="utf-8", errors="replace")
        raise ComponentDiedError(
            f"airflow {' '.join(arguments)} ended with exit code {code}; the end of its log:\n"
            + "\n".join(text.splitlines()[-40:])
        )


def run_as(command: Sequence[str], *, environment: Mapping[str, str], user: str | None) -> None:
    """
    Run a command to its end, as another user if one is named.

    :raises RuntimeError: with the end of its output if it fails.
    """
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        user=user,
        group=user,
        extra_groups=None if user is None else (),
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr).strip()[-2000:]}")
