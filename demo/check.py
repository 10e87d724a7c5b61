"""Decides PASS or FAIL: compares what downstream tasks received with the service's own responses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_seeany import __version__
from airflow_provider_seeany.api.costs import money_text
from demo.plan import REFUSED, Plan, WaitName
from demo.service import open_session, request_task, settings_for
from local_airflow import DagRun, LocalAirflow

_TIMEOUT = 20
_ENDED_WELL = ("completed", "succeeded", "partial_failed")
# Prefixes of content types; a real service's storage often says only octet-stream.
_VIDEO = ("video/",)
_IMAGE = ("image/",)
_UNKNOWN = ("application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True)
class File:
    """The response of a result URL."""

    status: int | None
    """None without a response."""
    content_type: str = ""

    def __str__(self) -> str:
        """Describe it briefly."""
        return "does not respond" if self.status is None else f"returns {self.status} {self.content_type}".rstrip()


@dataclass(frozen=True)
class Received:
    """What the task downstream of a wait received."""

    name: WaitName
    payload: Mapping[str, Any]
    xcoms: Mapping[str, Any]

    @property
    def unit(self) -> str:
        """The currency of its cost."""
        return (self.payload.get("usage") or {}).get("cost_unit") or ""


@dataclass(frozen=True)
class Evidence:
    """Everything that the verdict depends on."""

    run_state: str
    states: Mapping[WaitName, str | None]
    reasons: Mapping[WaitName, str] = field(default_factory=dict)
    """The exception in the log of a wait that should have succeeded."""
    received: tuple[Received, ...] = ()
    failure: Mapping[str, str] = field(default_factory=dict)
    totals: Mapping[str, str] = field(default_factory=dict)
    served: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The service's own payload for each SeeAny id, requested without Airflow."""
    files: Mapping[str, File] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The reasons for a FAIL, and notes that are no failure."""

    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


def judge(plan: Plan, evidence: Evidence) -> Verdict:
    """Compare the evidence with the plan."""
    problems = [*_states(plan, evidence), *_failure(plan, evidence)]
    by_name = {each.name: each for each in evidence.received}
    for name, seeany_id in plan.ids.items():
        if (received := by_name.pop(name, None)) is None:
            # A failed wait delivers nothing, and is listed already.
            if evidence.states.get(name) == "success":
                problems.append(f"the task after {name} received nothing")
        else:
            problems += [f"{name}: {text}" for text in _differences(received, evidence.served.get(seeany_id))]
    problems += [f"{name} is not one of the waits, but something was received from it" for name in by_name]
    problems += _totals(plan, evidence)
    files = [f"{url} {file}" for url, file in evidence.files.items() if not _is_good(url, file, evidence, plan)]
    if not plan.is_real:
        return Verdict((*problems, *files))
    if evidence.totals:
        files.insert(0, f"all {len(plan.ids)} waits use one task: the service charged only a part of the total")
    # The links of a real task expire, which says nothing about the provider.
    return Verdict(tuple(problems), tuple(files))


def gather(airflow: LocalAirflow, run: DagRun, plan: Plan, service_url: str | None) -> Evidence:
    """Read what the last task collected, and request the tasks and files from the service."""
    instances = {WaitName(each.task_id, each.map_index): each for each in airflow.task_instances(run)}
    collected = airflow.xcoms(run, "collect").get("return_value") or {}
    received = tuple(
        Received(WaitName(each["wait"], each["map_index"]), each["payload"], each["xcoms"])
        for each in collected.get("received", [])
    )
    # Show the failure text even if the last task never ran.
    failure = collected.get("failure") or airflow.xcoms(run, "handle").get("return_value") or {}
    with open_session(plan) as session:
        session.headers["User-Agent"] = f"airflow-provider-seeany-demo/{__version__}"
        ids = dict.fromkeys(plan.ids.values() if plan.is_real else plan.all_ids.values())
        return Evidence(
            run_state=airflow.client.dag_run(run).state,
            states={name: each.state for name, each in instances.items()},
            reasons={
                name: _reason(airflow.log(run, name.task_id, map_index=name.map_index, try_number=each.try_number))
                for name, each in instances.items()
                if name in plan.ids and each.state != "success" and each.try_number > 0
            },
            received=received,
            failure=failure,
            totals=collected.get("totals") or {},
            served={
                seeany_id: request_task(session, settings_for(plan, plan.apis[seeany_id], service_url), seeany_id)
                for seeany_id in ids
            },
            files={url: _fetch(session, url) for each in received for url in _result_urls(each.xcoms)},
        )


def _reason(log: str) -> str:
    """Return the last exception of this provider in a log, or an empty text."""
    found = re.findall(r"^SeeAny\w+: .+", log, re.MULTILINE)
    return str(found[-1]) if found else ""


def _states(plan: Plan, evidence: Evidence) -> Iterable[str]:
    if evidence.run_state != "success":
        yield f"the DAG run ended as {evidence.run_state}"
    for name in plan.ids:
        if (state := evidence.states.get(name)) != "success":
            reason = evidence.reasons.get(name)
            yield f"{name} ended as {state}, not as success" + (f": {reason}" if reason else "")
    if (state := evidence.states.get(WaitName(REFUSED))) != "failed":
        yield f"{REFUSED} ended as {state}, but should have failed"
    if (state := evidence.states.get(WaitName("handle"))) != "success":
        yield f"the task that handles the failure ended as {state}"


def _failure(plan: Plan, evidence: Evidence) -> Iterable[str]:
    exception, text = evidence.failure.get("exception"), evidence.failure.get("text", "")
    if exception not in plan.refusals:
        yield f"{REFUSED} failed with {exception}, not with {' or '.join(plan.refusals)}"
    error = evidence.served.get(plan.refused, {}).get("error") or {}
    for part in (plan.refused, error.get("code"), error.get("message")):
        if part and str(part) not in text:
            yield f"the failure's text lacks {part}: {text!r}"


def _differences(received: Received, served: Mapping[str, Any] | None) -> Iterable[str]:
    if not served:
        yield "the service does not know this task"
        return
    if served.get("status") not in _ENDED_WELL:
        yield f"the service returned the status {served.get('status')}"
    expected = {**served, **_completed_at(served)}
    for key in sorted({*expected, *received.payload}):
        if _bare(received.payload.get(key)) != _bare(expected.get(key)):
            yield f"the payload's {key} is {received.payload.get(key)!r}, the service returned {expected.get(key)!r}"
    for key, value in _expected_xcoms(served).items():
        if _bare(received.xcoms.get(key)) != _bare(value):
            yield f"XCom {key} is {received.xcoms.get(key)!r}, the service returned {value!r}"


def _expected_xcoms(served: Mapping[str, Any]) -> dict[str, Any]:
    values = {"video_url": served.get("video_url"), "cost": (served.get("usage") or {}).get("cost")}
    if images := _image_urls(served):
        values["result_urls"] = images
    return {key: value for key, value in values.items() if value is not None}


def _image_urls(served: Mapping[str, Any]) -> list[Any]:
    """Return the URLs of an image set, of the task itself or of the works among its assets."""
    works = [work for work in (served, *(served.get("assets") or ())) if isinstance(work, Mapping)]
    images = [image for work in works for image in work.get("images") or () if isinstance(image, Mapping)]
    return [image["url"] for image in images if "url" in image]


def _completed_at(served: Mapping[str, Any]) -> dict[str, str]:
    seconds = served.get("completed_at")
    if not isinstance(seconds, int | float):
        return {}
    return {"completed_at": datetime.fromtimestamp(seconds, tz=UTC).isoformat().replace("+00:00", "Z")}


def _totals(plan: Plan, evidence: Evidence) -> Iterable[str]:
    expected = expected_totals(evidence.served.get(seeany_id, {}) for seeany_id in plan.ids.values())
    got = {unit: Decimal(text) for unit, text in evidence.totals.items()}
    if got != expected:
        yield f"the total is {totals_text(got) or 'missing'}, but must be {totals_text(expected) or 'nothing'}"


def expected_totals(payloads: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Add up the costs by currency."""
    totals: dict[str, Decimal] = {}
    for usage in (payload.get("usage") or {} for payload in payloads):
        if usage.get("cost") is not None:
            unit = usage.get("cost_unit") or ""
            totals[unit] = totals.get(unit, Decimal(0)) + Decimal(str(usage["cost"]))
    return totals


def totals_text(totals: Mapping[str, Decimal | str | float]) -> str:
    """Write amounts as the log and the UI do."""
    return " + ".join(money_text(Decimal(str(amount)), unit) for unit, amount in totals.items())


def _result_urls(xcoms: Mapping[str, Any]) -> Iterable[str]:
    return dict.fromkeys(url for url in (xcoms.get("video_url"), *xcoms.get("result_urls", ())) if url)


def _is_good(url: str, file: File, evidence: Evidence, plan: Plan) -> bool:
    is_video = any(each.xcoms.get("video_url") == url for each in evidence.received)
    kinds = (_VIDEO if is_video else _IMAGE) + (_UNKNOWN if plan.is_real else ())
    return file.status in (200, 206) and file.content_type.startswith(kinds)


def _bare(value: Any) -> Any:
    """Remove the query from every URL in a value: a service may sign its links anew for each response."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return urlsplit(value)._replace(query="", fragment="").geturl()
    if isinstance(value, Mapping):
        return {key: _bare(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    return value


def _fetch(session: requests.Session, url: str) -> File:
    try:
        # GET, of which only the head is read: storages with signed links reject HEAD.
        with session.get(url, timeout=_TIMEOUT, stream=True) as response:
            return File(response.status_code, response.headers.get("Content-Type", ""))
    except requests.RequestException:
        return File(None)
