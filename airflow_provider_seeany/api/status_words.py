"""What the service's status words mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from airflow_provider_seeany.api import fields

Meaning = Literal["running", "completed", "failed", "partial"]

_MEANINGS: Mapping[str, Meaning] = {
    **dict.fromkeys(("processing", "queued", "running"), "running"),
    **dict.fromkeys(("completed", "succeeded", "success"), "completed"),
    **dict.fromkeys(("failed", "error", "cancelled", "canceled", "expired", "rejected"), "failed"),
    "partial_failed": "partial",
}
"""Documented words, those that the live service is known to use, and other final ones."""

_FINAL_WORD = re.compile(
    r"(?<!in)complet|success|succeed|(?<!un)finish|done|generated|published"
    r"|fail|error|cancel|abort|expire|reject|refuse|blocked|denied|killed|time_?d?_?out|stop|terminat|delet"
    r"|(?:^|_)(?:end|ended|ready)$|完成|成功|失败|取消|过期|拒绝|终止|结束"
)


def meaning(status: str) -> Meaning | None:
    """Return what a status word means, without regard to case and surrounding white space; ``None`` if unknown."""
    return _MEANINGS.get(status) or _MEANINGS.get(normalized(status))


def looks_ended(status: str) -> bool:
    """Tell whether an unknown status word reads as if the task had ended."""
    return meaning(status) is None and bool(_FINAL_WORD.search(normalized(status)))


def normalized(word: str) -> str:
    """Return a status or object word for comparing."""
    word = word.strip()
    return _short_word(word) if len(word) <= fields.MAX_WORD else word


@lru_cache(maxsize=256)
def _short_word(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", fields.normalize_word(word))
