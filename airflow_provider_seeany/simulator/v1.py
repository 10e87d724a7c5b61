"""The dialect of /v1/tasks: the three documented bodies, and invented ones where the platform documents none."""

from __future__ import annotations

from typing import assert_never

from .dialect import BUSY, Body, Refusal
from .results import BLOCKED, DURATION, RESOLUTION, Results
from .scenario import Completed, Failed, PartiallyFailed, Processing, Queued, Scenario, State

_REFUSALS = {
    Refusal.USER_AGENT: (403, "user_agent_required", "the request has no User-Agent header"),
    Refusal.KEY: (401, "invalid_api_key", "the request has no valid key: Authorization: Bearer sk-…"),
    Refusal.KEY_IN_ENVELOPE: (401, "invalid_api_key", "the request has no valid key: Authorization: Bearer sk-…"),
    Refusal.UNKNOWN_TASK: (404, "task_not_found", ""),
    Refusal.BUSY: (503, "busy", BUSY),
}


def task(scenario: Scenario, state: State, *, started_at: float, files_url: str) -> Body:
    """Return the state of a task."""
    head = {"id": scenario.task_id, "object": "image_set" if scenario.is_set else "video_generation"}
    ended = {"completed_at": int(started_at + scenario.seconds)}
    results = Results(scenario, files_url)
    match state:
        case Queued():
            return {**head, "status": "queued"}
        case Processing(progress, None):
            return {**head, "status": "processing", "progress": progress}
        case Processing(progress, estimated_remaining):
            return {
                **head,
                "status": "processing",
                "progress": progress,
                "estimated_remaining": estimated_remaining,
            }
        case Completed():
            files = _image_set(results) if scenario.is_set else _video(results)
            return {**head, "status": "completed", **ended, **files}
        case PartiallyFailed():
            error = {"code": "partial_failed", "message": results.partial_message}
            return {**head, "status": "partial_failed", **ended, **_image_set(results), "error": error}
        case Failed():
            return {**head, "status": "failed", "error": {"code": "content_policy_violation", "message": BLOCKED}}
    assert_never(state)


def response(task: Body) -> Body:
    """Return the task itself."""
    return task


def callback(task: Body) -> Body:
    """Return the task in an event; invented."""
    return {"event": f"task.{task['status']}", "data": task}


def refusal(refusal: Refusal, detail: str) -> tuple[int, Body]:
    """Return HTTP status and body of a refused request; invented, after a failed task's `error`."""
    status, code, message = _REFUSALS[refusal]
    return status, {"error": {"code": code, "message": message or detail}}


def error(http_status: int, reason: str) -> Body:
    """Return the body of any other HTTP error."""
    return {"error": {"code": reason.lower().replace(" ", "_"), "message": reason}}


def _video(results: Results) -> Body:
    return {
        "video_url": results.video_url,
        "thumbnail_url": results.thumbnail_url,
        "duration": DURATION,
        "resolution": RESOLUTION,
        "usage": _usage(results),
    }


def _image_set(results: Results) -> Body:
    # Invented: the platform says that image sets are requested in the same way, not what the response holds.
    return {"images": [{"url": url} for url in results.image_urls], "usage": _usage(results)}


def _usage(results: Results) -> Body:
    return {"cost": results.cost, "cost_unit": "CNY"}
