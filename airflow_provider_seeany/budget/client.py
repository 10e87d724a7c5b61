"""A worker's request to the api-server for the sums of a budget; see :mod:`airflow_provider_seeany.budget`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import requests
from airflow.providers.common.compat.sdk import conf
from tenacity import RetryCallState, Retrying, retry_if_result, stop_before_delay, wait_random_exponential

from airflow_provider_seeany.api.parse import read_retry_after
from airflow_provider_seeany.budget.query import HEADER, PATH, SpendQuery, SpendTotals, new_token, query_key
from airflow_provider_seeany.callback.url import MOUNTED_AT
from airflow_provider_seeany.exceptions import SeeAnyBudgetUnknown
from airflow_provider_seeany.xcoms.raw import RawXCom, supervisor
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

TIMEOUT = 10.0  # seconds for one request
MAX_SECONDS = 60.0  # no request starts later than this many seconds after the first
MAX_PAUSE = 10.0


@dataclass(frozen=True)
class _Failure:
    """Why a request failed, and how many seconds to wait before the next one."""

    reason: str
    retry_after: float = 0.0


def request_totals(task_instance: Any, *, unit: str, conn_id: str | None) -> SpendTotals:
    """
    Return the totals that the api-server computes.

    :raises SeeAnyBudgetUnknown: if there is no response.
    """
    if supervisor() is None:
        raise SeeAnyBudgetUnknown("A budget is checked by a task that Airflow runs, and not elsewhere.")
    token = new_token()
    key = query_key(token)
    assert key is not None
    query = SpendQuery(task_instance_id=str(task_instance.id), unit=unit, conn_id=conn_id)
    xcom = RawXCom(key, TaskInstanceKey.of(task_instance))
    xcom.set(msgspec.to_builtins(query))
    try:
        totals: SpendTotals | _Failure = Retrying(
            retry=retry_if_result(lambda totals: isinstance(totals, _Failure)),
            wait=_pause,
            stop=stop_before_delay(MAX_SECONDS),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )(_request_any, token)
    finally:
        xcom.delete()
    if isinstance(totals, SpendTotals):
        return totals
    raise SeeAnyBudgetUnknown(
        f"Nobody can tell what was spent: {totals.reason}. The api-server sums it up: it must run, "
        "with this provider installed, where [core] execution_api_server_url or [api] base_url says in this worker."
    )


def addresses() -> list[str]:
    """Return where the api-server may be: where the worker's own supervisor finds it, and where users do."""
    base_url = str(conf.get("api", "base_url", fallback=None) or "")
    if not base_url.startswith("http"):
        base_url = f"http://localhost:8080{base_url}"  # as Airflow's executors do
    execution = str(conf.get("core", "execution_api_server_url", fallback=None) or "").rstrip("/")
    found = [execution.removesuffix("/execution"), base_url.rstrip("/")]
    return [f"{address}{MOUNTED_AT}{PATH}" for address in dict.fromkeys(filter(None, found))]


def _request_any(token: str) -> SpendTotals | _Failure:
    failures = []
    for address in addresses():
        totals = _request(address, token)
        if isinstance(totals, SpendTotals):
            return totals
        failures.append(totals)
    return _Failure("; ".join(each.reason for each in failures), max(each.retry_after for each in failures))


def _request(address: str, token: str) -> SpendTotals | _Failure:
    try:
        response = requests.post(
            address,
            headers={HEADER: token},
            timeout=TIMEOUT,
            allow_redirects=False,
            auth=lambda request: request,  # nothing of ~/.netrc
            verify=_certificates(),
        )
    except requests.RequestException as error:
        return _Failure(f"{address} could not be reached ({type(error).__name__})")
    if response.status_code != 200:
        return _Failure(f"{address} responded with HTTP {response.status_code}", _retry_after(response))
    try:
        return msgspec.json.decode(response.content, type=SpendTotals)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Failure(f"{address} responded with something else")


def _certificates() -> str | bool:
    """Return which certificates to trust; those that Airflow's own client trusts, too."""
    return conf.get("api", "ssl_ca_file", fallback=None) or conf.get("api", "ssl_cert", fallback=None) or True


def _retry_after(response: requests.Response) -> float:
    return min(read_retry_after(response.headers) or 0.0, MAX_PAUSE)


def _pause(state: RetryCallState) -> float:
    assert state.outcome is not None
    seconds: float = wait_random_exponential(max=MAX_PAUSE)(state)
    failure: _Failure = state.outcome.result()
    return max(seconds, failure.retry_after)
