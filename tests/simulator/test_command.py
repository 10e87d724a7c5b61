"""The simulator as a user starts it: a process with a start line, a log and an end."""

from __future__ import annotations

import ast
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

import airflow_provider_seeany.simulator

COMMAND = [sys.executable, "-m", "airflow_provider_seeany.simulator"]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_the_start_line_names_the_port() -> None:
    with started("--port", "0") as (_, line):
        found = re.fullmatch(r"SeeAny simulator on (http://127\.0\.0\.1:[1-9][0-9]*)\n", line)
        assert found, line
        request = Request(f"{found[1]}/v1/tasks/video", headers={"Authorization": "Bearer sk-demo"})
        with urlopen(request, timeout=10) as response:
            assert json.load(response)["status"] == "processing"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with started("--port", "0") as (process, line):
        url = line.split()[-1]
        with urlopen(f"{url}/simulator/requests", timeout=10) as response:
            assert response.status == 200
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=10)

    assert process.returncode == 0
    assert stdout == ""
    assert stderr == "GET /simulator/requests 200\n"


def test_a_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"cannot listen on 127.0.0.1 port {port}: ")
    assert ended.stderr.count("\n") == 1


def test_the_help_has_connections_that_can_be_copied() -> None:
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout

    connections = dict(re.findall(r"export AIRFLOW_CONN_(\w+)='(.*)'", text))
    v1 = {"conn_type": "seeany", "host": "http://127.0.0.1:8765", "password": "sk-demo"}
    assert {name: json.loads(value) for name, value in connections.items()} == {
        "SEEANY_DEFAULT": v1,
        "SEEANY_DEVELOPER": {**v1, "extra": {"api": "developer"}},
    }


def test_a_created_task_does_what_an_option_says() -> None:
    with started("--port", "0", "--created", "fails-0s") as (_, line):
        url, headers = line.split()[-1], {"Authorization": "Bearer sk-demo"}
        request = Request(f"{url}/api/ai/smarttask", headers=headers, data=b'{"prompt": "a red shoe"}')
        with urlopen(request, timeout=10) as response:
            task_id = json.load(response)["data"]["task_uuid"]
        with urlopen(
            Request(f"{url}/api/developer/task/status?task_uuid={task_id}", headers=headers), timeout=10
        ) as response:
            assert json.load(response)["data"]["status"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--port=-1", "0 to 65535"),
        ("--port=65536", "0 to 65535"),
        ("--port=http", "0 to 65535"),
        ("--created=shoe", "starts with one of: video, images"),
    ],
)
def test_an_invalid_option_is_rejected(arguments: str, text: str) -> None:
    ended = subprocess.run([*COMMAND, arguments], capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 2
    assert text in ended.stderr


def test_it_needs_nothing_of_airflow_and_nothing_else_of_the_provider() -> None:
    package = Path(airflow_provider_seeany.simulator.__file__).parent
    imported = set()
    for module in package.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{module.name} imports from outside of the simulator"
                if node.level == 0 and node.module:
                    imported.add(node.module.partition(".")[0])

    assert imported - sys.stdlib_module_names == {"aiohttp"}
