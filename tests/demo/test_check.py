"""The verdict: a PASS, or a FAIL with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.xcoms.result import field_xcoms
from demo.check import Evidence, File, Received, expected_totals, judge, totals_text
from demo.plan import REFUSED, Plan, WaitName, real, simulated

MESSAGE = "生成内容违反内容安全策略"
FILES = "http://127.0.0.1:1/files"
Change = Callable[[Evidence], Evidence]


def served_payload(seeany_id: str) -> dict[str, Any]:
    if "poster" in seeany_id:
        images = [{"url": f"{FILES}/{seeany_id}/image-{number}.jpg", "width": 640} for number in (1, 2)]
        return {"id": seeany_id, "status": "succeeded", "assets": [{"work_uuid": "w", "images": images}, None]}
    head = {"id": seeany_id, "status": "completed", "completed_at": 1_748_908_950}
    if seeany_id.startswith("images"):
        images = [{"url": f"{FILES}/{seeany_id}/image-{number}.jpg"} for number in (1, 2)]
        return {**head, "object": "image_set", "images": images, "usage": {"cost": 0.8, "cost_unit": "CNY"}}
    return {
        **head,
        "object": "video_generation",
        "video_url": f"{FILES}/{seeany_id}/output.mp4",
        "thumbnail_url": f"{FILES}/{seeany_id}/thumb.jpg",
        "duration": 5,
        "resolution": "720p",
        "usage": {"cost": 0.7, "cost_unit": "CNY"},
    }


def good_evidence(plan: Plan) -> Evidence:
    """Return the evidence of a run without problems, made with the provider's own parser."""
    served = {seeany_id: served_payload(seeany_id) for seeany_id in plan.ids.values()}
    tasks = {seeany_id: SeeAnyTask.from_payload(payload) for seeany_id, payload in served.items()}
    error = {"code": "content_policy_violation", "message": MESSAGE}
    costs = [Decimal(str(payload["usage"]["cost"])) * n for payload, n in counted(plan, served) if "usage" in payload]
    return Evidence(
        run_state="success",
        states={
            **dict.fromkeys(plan.ids, "success"),
            WaitName(REFUSED): "failed",
            WaitName("handle"): "success",
        },
        received=tuple(
            Received(name, tasks[seeany_id].as_json(), field_xcoms(tasks[seeany_id]))
            for name, seeany_id in plan.ids.items()
        ),
        failure={
            "exception": plan.refusals[0],
            "text": f"SeeAny task {plan.refused} failed: {MESSAGE} (content_policy_violation)",
        },
        totals={"CNY": str(sum(costs))},
        served=served if plan.is_real else {**served, plan.refused: {"status": "failed", "error": error}},
        files={
            url: File(200, "video/mp4" if url.endswith("mp4") else "image/jpeg")
            for task in tasks.values()
            for url in task.result_urls
        },
    )


def counted(plan: Plan, served: dict[str, dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    ids = list(plan.ids.values())
    return [(payload, ids.count(seeany_id)) for seeany_id, payload in served.items()]


SIMULATED = simulated()
REAL = real("sk-x", "task-1", None)


@pytest.mark.parametrize("plan", [SIMULATED, REAL], ids=["simulated", "real"])
def test_a_run_without_problems_is_a_pass(plan: Plan) -> None:
    verdict = judge(plan, good_evidence(plan))
    assert verdict.problems == ()
    assert verdict.passed


def state(task_id: str, value: str | None) -> Change:
    return lambda evidence: replace(evidence, states={**evidence.states, WaitName(task_id): value})


def xcom(key: str, value: object) -> Change:
    def change(evidence: Evidence) -> Evidence:
        first, *others = evidence.received
        return replace(evidence, received=(replace(first, xcoms={**first.xcoms, key: value}), *others))

    return change


def payload(key: str, value: object) -> Change:
    def change(evidence: Evidence) -> Evidence:
        first, *others = evidence.received
        return replace(evidence, received=(replace(first, payload={**first.payload, key: value}), *others))

    return change


def failure(**parts: str) -> Change:
    return lambda evidence: replace(evidence, failure={**evidence.failure, **parts})


def file(name: str, response: File) -> Change:
    def change(evidence: Evidence) -> Evidence:
        (url,) = (url for url in evidence.files if name in url)
        return replace(evidence, files={**evidence.files, url: response})

    return change


def serving(seeany_id: str, **parts: object) -> Change:
    def change(evidence: Evidence) -> Evidence:
        return replace(evidence, served={**evidence.served, seeany_id: {**evidence.served[seeany_id], **parts}})

    return change


def without_images(received: Received) -> Received:
    return replace(received, xcoms={**received.xcoms, "result_urls": []})


SHOES = SIMULATED.singles[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda evidence: replace(evidence, run_state="failed"), "the DAG run ended as failed"),
        (state("wait_shoes", "failed"), "wait_shoes ended as failed, not as success"),
        (state("wait_bag", None), "wait_bag ended as None"),
        (state(REFUSED, "success"), "wait_refused ended as success, but should have failed"),
        (state("handle", "skipped"), "handles the failure ended as skipped"),
        (
            lambda evidence: replace(evidence, received=evidence.received[1:]),
            "the task after wait_shoes received nothing",
        ),
        (lambda evidence: replace(evidence, received=()), "the task after wait_many[2] received nothing"),
        (
            lambda evidence: replace(evidence, received=(*evidence.received, Received(WaitName("other"), {}, {}))),
            "other is not one of the waits",
        ),
        (xcom("video_url", f"{FILES}/other.mp4"), "wait_shoes: XCom video_url is 'http://127.0.0.1:1/files/other.mp4'"),
        (xcom("video_url", None), "wait_shoes: XCom video_url is None"),
        (xcom("cost", "0.7"), "wait_shoes: XCom cost is '0.7', the service returned 0.7"),
        (payload("completed_at", 1_748_908_950), "the service returned '2025-06-03T00:02:30Z'"),
        (payload("id", "another"), "the payload's id is 'another'"),
        (payload("usage", {"cost": 7}), "the payload's usage is {'cost': 7}"),
        (payload("invented", 1), "the payload's invented is 1, the service returned None"),
        (serving(SHOES, added_later=1), "the payload's added_later is None, the service returned 1"),
        (serving(SHOES, status="processing"), "the service returned the status processing"),
        (lambda evidence: replace(evidence, served={}), "wait_shoes: the service does not know this task"),
        (lambda evidence: replace(evidence, totals={}), "the total is missing, but must be ¥3.60"),
        (lambda evidence: replace(evidence, totals={"CNY": "3.5"}), "the total is ¥3.50, but must be ¥3.60"),
        (
            lambda evidence: replace(evidence, totals={"CNY": "3.6", "USD": "0"}),
            "the total is ¥3.60 + $0.00, but must be ¥3.60",
        ),
        (failure(exception="SeeAnyTaskTimeout"), "failed with SeeAnyTaskTimeout, not with SeeAnyTaskFailed"),
        (failure(text="SeeAny task failed"), f"the failure's text lacks {SIMULATED.refused}"),
        (failure(text=f"{SIMULATED.refused} content_policy_violation ????"), f"the failure's text lacks {MESSAGE}"),
        (failure(text=f"{SIMULATED.refused} {MESSAGE}"), "the failure's text lacks content_policy_violation"),
        (lambda evidence: replace(evidence, failure={}), "wait_refused failed with None"),
        (file("shoes", File(404, "application/json")), "shoes/output.mp4 returns 404 application/json"),
        (file("shoes", File(200, "text/html")), "shoes/output.mp4 returns 200 text/html"),
        (file("shoes", File(200, "image/jpeg")), "shoes/output.mp4 returns 200 image/jpeg"),
        (
            file("sofa/image-1", File(200, "application/octet-stream")),
            "image-1.jpg returns 200 application/octet-stream",
        ),
        (file("poster/image-1", File(None)), "poster/image-1.jpg does not respond"),
        (
            lambda evidence: replace(evidence, received=tuple(map(without_images, evidence.received))),
            "wait_developer: XCom result_urls is []",
        ),
    ],
)
def test_anything_else_is_a_fail_with_its_reason(change: Change, text: str) -> None:
    verdict = judge(SIMULATED, change(good_evidence(SIMULATED)))
    assert not verdict.passed
    assert any(text in problem for problem in verdict.problems), verdict.problems


def test_a_failed_wait_is_reported_once_with_its_reason() -> None:
    evidence = good_evidence(SIMULATED)
    evidence = replace(
        evidence,
        states={**evidence.states, WaitName("wait_shoes"): "failed"},
        reasons={WaitName("wait_shoes"): "SeeAnyAuthError: HTTP 401"},
        received=evidence.received[1:],
        files={},
    )
    problems = judge(SIMULATED, evidence).problems
    assert problems == ("wait_shoes ended as failed, not as success: SeeAnyAuthError: HTTP 401",)


@pytest.mark.parametrize(
    ("response", "noted"),
    [
        (File(403, "text/xml"), True),
        (File(None), True),
        (File(206, "video/mp4"), False),
        (File(200, "application/octet-stream"), False),
    ],
)
def test_a_link_that_the_real_service_no_longer_serves_is_only_noted(response: File, noted: bool) -> None:
    verdict = judge(REAL, file("task-1", response)(good_evidence(REAL)))
    assert verdict.passed
    assert any("task-1/output.mp4" in note for note in verdict.notes) == noted


def test_links_that_are_signed_anew_for_each_response_are_the_same() -> None:
    evidence = good_evidence(REAL)
    signed = f"{FILES}/task-1/output.mp4?signature=2"
    assert judge(REAL, serving("task-1", video_url=signed)(evidence)).passed
    assert not judge(REAL, serving("task-1", video_url=f"{FILES}/task-2/output.mp4")(evidence)).passed


def test_a_rejected_key_is_not_the_expected_failure_of_the_real_service() -> None:
    evidence = good_evidence(REAL)
    assert judge(REAL, failure(exception="SeeAnyRequestError")(evidence)).passed
    assert not judge(REAL, failure(exception="SeeAnyAuthError")(evidence)).passed


def test_costs_are_added_exactly_by_currency() -> None:
    payloads = [{"usage": {"cost": cost, "cost_unit": unit}} for cost, unit in ((0.1, "CNY"), (0.2, "CNY"), (1, "USD"))]
    totals = expected_totals([*payloads, {}, {"usage": None}, {"usage": {"cost_unit": "CNY"}}])
    assert totals == {"CNY": Decimal("0.3"), "USD": Decimal(1)}
    assert totals_text(totals) == "¥0.30 + $1.00"
