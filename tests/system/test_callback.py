"""SeeAny's callback on real Airflow processes, whose api-server is below a path prefix and has two workers."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.callback.batch import CALLED_BACK_KEY, batch_key
from airflow_provider_seeany.xcoms.raw import decode_json
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY
from tests.system.conftest import CREATED_WITH_CALLBACK, CalledBack, FinishedRun, started_run

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("callback")]

RESUMED = {
    "classic": "video-25s-classic",
    "worker_free": "video-25s-worker-free",
    "mapped-0": "video-25s-mapped-1",
    "mapped-1": "video-25s-mapped-2",
}


class Run:
    """The run of the DAG, and the polls that reached the two simulators."""

    def __init__(self, called_back: CalledBack) -> None:
        self.airflow = called_back.airflow
        run = self.airflow.wait_for_run(called_back.runs["callbacks"], timeout=240)
        self.finished = FinishedRun(self.airflow, run)
        self._logs = self.airflow.home.parent
        self._simulators = called_back.ringing, called_back.developer, called_back.silent
        self.polls = self.polls_by_now()
        self.url: str = self.airflow.xcoms(run, "url")["return_value"]
        """The callback URL that names the task `classic`."""

    def polls_by_now(self) -> dict[str, int]:
        """Return how often each task was polled."""
        polls: dict[str, int] = {}
        for simulator in self._simulators:
            polls |= requests.get(f"{simulator}/simulator/requests", timeout=30).json()
        return {name: count for name, count in polls.items() if "-backend-" not in name}

    def callbacks(self, seeany_task_id: str) -> int:
        """Return how often SeeAny called back: again, if the api-server was too busy with the database."""
        line = f"CALLBACK for {seeany_task_id}: "
        return sum(log.read_text(encoding="utf-8").count(line) for log in self._logs.glob("*.log"))

    def is_polled_once_at(self, seeany_task_id: str, *, besides: int) -> bool:
        """Return whether each callback led to one poll at most, the last one to one."""
        return besides + 1 <= self.polls[seeany_task_id] <= besides + self.callbacks(seeany_task_id)


@pytest.fixture(scope="module")
def run(called_back: CalledBack) -> Run:
    """The run with all its callbacks, after it has ended."""
    return Run(called_back)


def task(name: str) -> tuple[str, int | None]:
    task_id, _, index = name.partition("-")
    return task_id, int(index) if index else None


@pytest.mark.parametrize("name", RESUMED)
def test_a_wait_that_a_callback_resumes_costs_two_polls(run: Run, name: str) -> None:
    assert run.finished.task(*task(name)).state == "success"
    assert run.is_polled_once_at(RESUMED[name], besides=1)


@pytest.mark.parametrize("name", [*RESUMED, "operator", "sibling", "early", "at_once", "lost", "lost_worker_free"])
def test_a_wait_that_a_callback_resumes_leaves_what_one_that_polls_leaves(run: Run, name: str) -> None:
    def left(*task: str | int | None) -> tuple[dict[str, str], set[str]]:
        xcoms = run.airflow.xcoms(run.finished.run, task[0], map_index=-1 if task[1] is None else task[1])  # type: ignore[arg-type]
        # The key of the UI's record is the moment at which the wait ended.
        names = {key: "record" if FIRST_KEY <= key < LAST_KEY else key for key in xcoms}
        same = {names[key]: type(decode_json(value)).__name__ for key, value in xcoms.items()}
        return same, set(xcoms["return_value"])

    assert left(*task(name)) == left("polling", None)
    xcoms = run.finished.xcoms(*task(name))
    assert xcoms["return_value"]["usage"] == {"cost": xcoms["cost"], "cost_unit": "CNY"}  # type: ignore[index]
    assert run.finished.links(*task(name))["Watch video"] == xcoms["video_url"]


@pytest.mark.parametrize(
    ("name", "seeany_task_id", "is_partial"),
    [
        ("developer", "images-25s-2x-developer", False),
        ("developer_worker_free", "partial-25s-4x-developer", True),
    ],
)
def test_a_callback_in_the_dialect_of_developers_resumes_a_wait(
    run: Run, name: str, seeany_task_id: str, is_partial: bool
) -> None:
    assert run.finished.task(name).state == "success"
    assert run.is_polled_once_at(seeany_task_id, besides=1)
    assert "SeeAny called back" in run.finished.log(name)
    xcoms = run.finished.xcoms(name)
    assert len(xcoms["result_urls"]) == 2  # type: ignore[arg-type]
    assert xcoms["return_value"].get("is_partial", False) == is_partial  # type: ignore[attr-defined]


def test_a_batch_polls_each_task_after_its_callback_and_few_before(run: Run) -> None:
    assert run.finished.task("batch").state == "success"
    polls = [count for name, count in run.polls.items() if "s-batch-" in name]
    # One request has started each.
    assert sum(polls) - len(polls) <= 1.1 * len(polls)
    xcoms = run.airflow.xcoms(run.finished.run, "batch")
    assert xcoms["return_value"]["completed"] == 200
    assert not {CALLED_BACK_KEY, batch_key("calls_back")} & set(xcoms)


def test_one_callback_resumes_all_that_wait_for_the_same_id(run: Run) -> None:
    assert [run.finished.task(name).state for name in ("operator", "sibling")] == ["success", "success"]
    assert run.is_polled_once_at("video-25s-operator", besides=2)


@pytest.mark.parametrize("name", ["failed", "failed_worker_free"])
def test_a_failure_is_as_always(run: Run, name: str) -> None:
    assert (run.finished.task(name).state, run.finished.task(name).try_number) == ("failed", 1)
    assert "SeeAnyTaskFailed" in run.finished.log(name)
    assert run.finished.xcoms(name) == {}


def test_a_callback_that_comes_too_early_to_resume_the_task_is_not_lost(run: Run) -> None:
    instance = run.finished.task("early")
    assert instance.state == "success"
    assert run.polls["video-2s-early"] == 2


@pytest.mark.parametrize("name", ["lost", "lost_worker_free"])
def test_a_callback_that_gets_lost_costs_time_and_no_result(run: Run, name: str) -> None:
    assert run.finished.task(name).state == "success"


@pytest.mark.parametrize("name", [*RESUMED, "operator", "failed", "failed_worker_free"])
def test_the_log_of_a_resumed_wait_does_not_warn(run: Run, name: str) -> None:
    log = run.finished.log(*task(name))
    assert "SeeAny called back" in log
    assert not [line for line in log.splitlines() if "WARNING" in line and "may still finish" in line]
    if AIRFLOW_V_3_3_PLUS:  # an older one does not let a trigger find out
        assert "Trigger cancelled by user action" in log  # which is how Airflow calls it
        assert "may still finish" not in log


def test_a_late_callback_resumes_nothing_and_polls_nothing(run: Run) -> None:
    for body in (b"", b'{"data": {"id": "video-25s-operator"}}', b'{"id": "unknown"}'):
        response = requests.post(run.url, data=body, timeout=30)
        assert (response.status_code, response.json()) == (200, {"status": "no_wait", "task_instances": 0})
    assert run.polls_by_now() == run.polls


def test_the_url_has_the_prefix_and_a_token_that_is_changed_finds_nothing(run: Run) -> None:
    assert urlsplit(run.url).path.startswith("/airflow/seeany/callback/")
    assert requests.post(run.url[:-2], json={"id": "x"}, timeout=30).status_code == 404


def test_example_publish_on_callback_starts_once_and_not_for_a_failure(called_back: CalledBack) -> None:
    airflow = called_back.airflow
    created = {
        name: FinishedRun(airflow, airflow.wait_for_run(called_back.runs[name])) for name in CREATED_WITH_CALLBACK
    }
    ids = {name: run.xcoms("create")["return_value"] for name, run in created.items()}

    started = started_run(airflow, "seeany_publish_on_callback")

    ((seeany_task_id, video_url),) = started.xcoms("publish")["return_value"].items()  # type: ignore[attr-defined]
    assert seeany_task_id == ids["video"]
    assert f"publishing {video_url} of SeeAny task {seeany_task_id}" in started.log("publish")
    assert video_url.startswith("http://")
    for name, said in (("video", "duplicate"), ("fails", "failed")):
        again = requests.post(called_back.asset_url, json={"data": {"task_uuid": ids[name]}}, timeout=30)
        assert (again.status_code, again.json()["asset"]) == (200, said)
    assert airflow.client.request("GET", "/assets/events")["total_entries"] == 1
