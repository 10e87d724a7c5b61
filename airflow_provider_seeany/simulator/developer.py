"""The dialect of /api/developer, as public clients read it: an envelope around everything; the rest is invented."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import assert_never

from .dialect import BUSY, Body, Refusal
from .results import BLOCKED, DURATION, IMAGE_SIZE, Results
from .scenario import Completed, Failed, PartiallyFailed, Processing, Queued, Scenario, State, What

BAD_CREATION = 1003
_REFUSALS = {
    Refusal.USER_AGENT: (403, 403, "缺少 User-Agent"),
    Refusal.KEY: (401, 401, "API Key 无效"),
    Refusal.KEY_IN_ENVELOPE: (200, 1001, "API Key 无效"),
    Refusal.UNKNOWN_TASK: (200, 1002, "任务不存在"),
    Refusal.BUSY: (200, 1004, BUSY),
}
_MAX_IMAGES = 99


def task(scenario: Scenario, state: State, *, started_at: float, files_url: str) -> Body:
    """Return the state of a task, without estimate, time and cost, which no client has seen there."""
    results = Results(scenario, files_url)
    match state:
        case Queued():
            return _task(scenario, "queued")
        case Processing(progress):
            return _task(scenario, "running", None if scenario.what is What.SILENT else progress)
        case Completed():
            return _task(scenario, "succeeded", 100, _assets(results))
        case PartiallyFailed():
            return _task(scenario, "partial_failed", 100, _assets(results), results.partial_message)
        case Failed():
            return _task(scenario, "failed", error_message=BLOCKED)
    assert_never(state)


def response(data: object) -> Body:
    """Return the envelope of a success."""
    return {"code": 0, "msg": "success", "data": data}


def callback(task: Body) -> Body:
    """Return the task in an envelope, one object deeper than in a response; invented."""
    return response({"task": task})


def refusal(refusal: Refusal, detail: str) -> tuple[int, Body]:
    """Return HTTP status and envelope of a refused request."""
    status, code, message = _REFUSALS[refusal]
    return status, error(code, message)


def error(code: int, message: str) -> Body:
    """Return the envelope of an error."""
    return {"code": code, "msg": message, "data": None}


def created(task_id: str, wait_time: int) -> Body:
    """Return the response to the creation of a task."""
    return response({"task_uuid": task_id, "wait_time": wait_time})


def balance() -> Body:
    """Return the account's balance; its shape is invented."""
    return response({"balance": 88.6, "currency": "CNY"})


@dataclass(frozen=True, slots=True)
class Order:
    """What the simulator reads of the body of a creation."""

    prompt: str
    images: int | None
    callback_url: str | None

    @classmethod
    def of(cls, body: bytes) -> Order:
        """Read it; raise `ValueError` with a text for the envelope if it cannot be read."""
        try:
            fields = json.loads(body)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise ValueError("参数错误: 请求体不是 JSON 对象")
        prompt, images, callback_url = (fields.get(name) for name in ("prompt", "imgNum", "callback_url"))
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError("参数错误: prompt 不能为空")
        if images is not None and (type(images) is not int or not 1 <= images <= _MAX_IMAGES):
            raise ValueError(f"参数错误: imgNum 应为 1 到 {_MAX_IMAGES} 的整数")
        if callback_url is not None and not str(callback_url).startswith(("http://", "https://")):
            raise ValueError("参数错误: callback_url 应为 http(s) 地址")
        return cls(prompt, images, callback_url)


def _task(
    scenario: Scenario,
    status: str,
    progress: int | None = None,
    assets: list[Body] | None = None,
    error_message: str | None = None,
) -> Body:
    return {
        "task_uuid": scenario.task_id,
        "status": status,
        **({} if progress is None else {"progress": progress}),
        "assets": assets or [],
        "error_message": error_message,
    }


def _assets(results: Results) -> list[Body]:
    work_uuid = f"work_{results.scenario.task_id}"
    if not results.scenario.is_set:
        # Invented: no client of a video was seen.
        video = {"url": results.video_url, "cover": results.thumbnail_url, "duration": DURATION}
        return [{"work_uuid": work_uuid, "videos": [video]}]
    images = [{"url": url, "width": IMAGE_SIZE, "height": IMAGE_SIZE} for url in results.image_urls]
    return [{"work_uuid": work_uuid, "images": images}] if images else []
