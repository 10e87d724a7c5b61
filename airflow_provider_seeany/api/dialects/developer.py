"""The dialect of public clients: ``GET /api/developer/task/status?task_uuid=…``, whose body is an envelope."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from unicodedata import normalize

from airflow_provider_seeany.api import fields
from airflow_provider_seeany.api.dialects.base import KEY_ACCEPTED, Client, Dialect
from airflow_provider_seeany.api.error_body import BodyError, code_and_message, http_status
from airflow_provider_seeany.api.errors import InvalidResponseError, PermanentError, error_type
from airflow_provider_seeany.api.text import sanitize

_ID_NAMES = ("task_uuid", "id", "task_id")
_BALANCE_KEYS = ("balance", "available_balance", "amount", "data", "account", "wallet")
_UNIT_KEYS = ("currency", "unit", "cost_unit")
_MAX_TEXT = 500  # maximum characters of a message that are judged

_KEY = r"api.?key|(?<![a-z])key(?![a-z])|token|credential|密钥|秘钥|令牌|凭证"
_BAD_KEY = (
    r"invalid|wrong|incorrect|bad|expired|missing|required|revoked|disabled|illegal|malformed|mismatch|fail|not "
    r"|无效|错误|失效|过期|不存在|不正确|不合法|非法|未提供|未携带|缺少|缺失|禁用|停用|为空|有误|异常|失败|不匹配"
)
_TASK = r"task|uuid|(?<![a-z])id(?![a-z])|任务|作品"
_NOT_FOUND = r"not? ?found|not exist|n't exist|不存在|未找到|找不到|没有找到|查无"
_UNKNOWN = rf"{_NOT_FOUND}|unknown|invalid|no such|无效|非法"
_BETWEEN = rf"(?:(?!{_KEY}).){{0,40}}"
_MEANINGS = (
    (r"too many|rate.?limit|throttl|frequen|频繁|频率|限流|限频|限速|次数过多|请求过多", 429),
    (r"busy|overload|try again|later|time.?out|timed out|temporar|unavailable|maintenance", 503),
    (r"繁忙|忙碌|拥挤|过载|负载|稍后|稍候|超时|维护|升级中|系统升级|暂时|暂不可用", 503),
    (rf"(?:{_TASK}){_BETWEEN}(?:{_UNKNOWN})|(?:{_UNKNOWN}){_BETWEEN}(?:{_TASK})", 404),
    (rf"(?:{_KEY}).*(?:{_BAD_KEY})|(?:{_BAD_KEY}).*(?:{_KEY})", 401),
    (r"unauthori[sz]ed|unauthenticated|authenticat|鉴权|未授权|未认证|认证失败|身份验证|未登录|请.{0,2}登录", 401),
    (r"forbidden|permission|access denied|无权|权限|禁止访问", 403),
    (_NOT_FOUND, 404),
    (r"internal|server error|retry|系统错误|系统异常|内部错误|服务异常|服务器|重试", 500),
)
"""
The HTTP statuses that messages count as; the first match counts.

A message that fits several counts as what loses least: first as transient, as another request costs nothing; then as an
unknown task, which ends the wait for one task, while a refused key ends a batch.
"""


class Developer(Dialect):
    """The dialect of public clients, which nobody documents: what is known of it was read in their code."""

    name = "developer"
    label = "developer (/api/developer)"
    base_path = ""
    typed_paths = ("/api/developer", "/api", "/v1")

    def task_endpoint(self, quoted_id: str) -> str:
        """Return the endpoint of a task."""
        return f"api/developer/task/status?task_uuid={quoted_id}"

    def task_payload(self, payload: Any, seeany_task_id: str) -> Mapping[str, Any]:
        """Return the envelope's data under the requested id, which it need not repeat."""
        if not isinstance(payload, dict):
            raise ValueError(f"expected a JSON object, got {type(payload).__name__}")
        if (task := _task_in(payload)) is None:
            raise ValueError(f"its `data` is no JSON object: {payload.get('data')!r}")
        given = [task[name] for name in _ID_NAMES if not fields.is_empty(task.get(name))]
        # One of them may be a number of the service's own database.
        if given and seeany_task_id not in map(fields.identifier, given):
            raise ValueError(f"it describes another task, {given[0]!r}")
        return {"id": seeany_task_id, **{name: value for name, value in task.items() if name != "id"}}

    def error_in(self, payload: Mapping[str, Any]) -> BodyError | None:
        """
        Return the error in an envelope, judged by its code and its message.

        What a task in ``data`` says of itself is no error of the request: not without a code, and not beside one if the
        task has ended, unless the message says that the service is busy.
        """
        has_code = not fields.is_empty(payload.get("code"))
        is_error = has_code and not _is_success(payload["code"])
        if not is_error and not fields.is_empty(payload.get("data")):
            return None
        code, message = code_and_message(payload)
        status = _http_status(payload.get("code"), message)
        if is_error:
            if not _is_transient(status) and _has_ended(_task_in(payload)):
                return None
        # Where there is nothing else, the message says why; beside a code of success, only if it is plain.
        elif message is None or (has_code and status is None):
            return None
        return BodyError(code=code, message=message, http_status=status)

    def http_status(self, status: int, payload: Mapping[str, Any]) -> int:
        """Return the status that the message means, in place of one that services respond to all kinds of errors."""
        _, message = code_and_message(payload)
        return _meaning(message) or status if status in (400, 403) else status

    def test_key(self, client: Client) -> str:
        """Request the balance, which any success proves to be readable with this key."""
        payload = client.get_json("api/developer/balance")
        if not isinstance(payload, dict) or not _is_success(payload.get("code")):
            raise InvalidResponseError("SeeAny's response to the request for the balance has no code of success")
        balance = _balance(payload.get("data")) or _balance({**payload, "data": None})
        return f"{KEY_ACCEPTED} The balance is {balance}." if balance else KEY_ACCEPTED


def _task_in(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the object in an envelope that describes the task, also from inside its ``task``."""
    data = payload.get("data")
    if not isinstance(data, dict):
        return None
    inner = data.get("task")
    if isinstance(inner, dict) and fields.is_empty(data.get("status")):
        return {**{name: value for name, value in data.items() if name != "task"}, **inner}
    return data


def _is_transient(status: int | None) -> bool:
    return status is not None and error_type(status) is not PermanentError


def _has_ended(task: Mapping[str, Any] | None) -> bool:
    """Tell whether a task has failed with a reason, or is completed with a result."""
    from airflow_provider_seeany.api.task import SeeAnyTask

    try:
        parsed = SeeAnyTask.from_payload({**(task or {}), "id": "x"})
    except ValueError:
        return False
    return bool(parsed.result_urls) or (parsed.is_failed and fields.is_reason(parsed.error.message))


def _is_success(code: object) -> bool:
    """Tell whether a code means success: 0 or 200 as a number or its text, or a word for it."""
    if isinstance(code, str) and code.strip() and not fields.is_reason(code):
        return True
    return _number(code) in (0, 200)


def _number(code: object) -> float | None:
    try:
        return float(code)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _http_status(code: object, message: str | None) -> int | None:
    """Return the HTTP status that an error counts as."""
    number = _number(code)
    status = http_status(f"{number:.0f}") if number is not None and number.is_integer() else None
    meant = _meaning(message)
    # These are what services respond to all kinds of errors.
    return meant if status is None or (status in (400, 403, 500) and meant is not None) else status


def _meaning(message: str | None) -> int | None:
    """Return the HTTP status that a message counts as, if it is plain."""
    text = normalize("NFKC", (message or "")[:_MAX_TEXT]).casefold()
    return next((meaning for pattern, meaning in _MEANINGS if re.search(pattern, text, re.DOTALL)), None)


def _balance(value: object, unit: str | None = None) -> str | None:
    """Find a balance in whatever shape, for a person."""
    from airflow_provider_seeany.api import quantities
    from airflow_provider_seeany.api.costs import money_text

    if isinstance(value, dict):
        unit = next((found for key in _UNIT_KEYS if (found := fields.scalar_text(value.get(key)))), unit)
        return next((found for key in _BALANCE_KEYS if (found := _balance(value.get(key), unit))), None)
    amount, own_unit = quantities.cost(value)
    return None if amount is None else sanitize(money_text(Decimal(str(amount)), own_unit or unit or ""), limit=40)
