"""Keeping the record of a wait, in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_seeany.xcoms.record import Claim, Progress
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY

if TYPE_CHECKING:
    from airflow_provider_seeany.xcoms.record import Record


def push_record(record: Record, place: Mapping[str, Any]) -> None:
    """
    Push a record, in place of the one or the progress that there may be, past a custom XCom backend.

    Airflow takes an XCom from any worker, also for a try that is over: its supervisor ends such a worker at the next
    heartbeat, and that is all there is.

    :param record: the record.
    :param place: what names the XComs of the task instance.
    """
    from airflow.sdk.execution_time.comms import DeleteXCom, GetXCom, SetXCom
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    reply: Any = SUPERVISOR_COMMS.send(GetXCom(key=PROGRESS_KEY, **place))
    found = getattr(reply, "value", None)
    xcoms = _with_known_spend(record, found).xcoms(place)
    before = Claim.read(found).record
    if before is not None and before not in xcoms:
        SUPERVISOR_COMMS.send(DeleteXCom(key=before, **place))
    for key, value in xcoms.items():
        SUPERVISOR_COMMS.send(SetXCom(key=key, value=value, **place))


def _with_known_spend(record: Record, found: object) -> Record:
    """Return the record of a batch that reported nothing with what it had published: that was paid all the same."""
    if record.seeany_task_id is not None or record.batch is not None:
        return record
    from airflow_provider_seeany.web.results.untrusted import kept, money_in, share_in

    progress = kept(found, Progress)
    share = share_in(progress.batch) if progress else None
    if progress is None or share is None:
        return record
    cost = {money.unit: str(money.amount) for money in money_in(progress.cost)}
    return msgspec.structs.replace(record, batch=share, cost=cost)
