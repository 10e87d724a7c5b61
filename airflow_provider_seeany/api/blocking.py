"""Asks SeeAny with requests: the transport of workers, of the Test button and of scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests
import urllib3

from airflow_provider_seeany.api.request import MAX_ANSWER, ApiSettings
from airflow_provider_seeany.api.response import Response, read_json, read_task, too_large, unreachable
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.api.trouble import ApiError, Trouble


class _Headers(requests.auth.AuthBase):
    """Sets our headers last. As an ``auth`` it also keeps requests from taking a password out of ~/.netrc."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class _Session(requests.Session):
    """Follows no redirect, and does not prepare to: requests would read the whole body and parse the target."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no target."""


class BlockingClient:
    """
    Asks SeeAny and waits for the answer. Keeps its connections until :meth:`close`.

    :param settings: where the API is and how to talk to it.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self.session: requests.Session = _Session()
        self.session.auth = _Headers(settings.headers)

    def look(self, seeany_task_id: str) -> SeeAnyTask | Trouble:
        """
        Ask once for a task; return the answer, or why there was none.

        :param seeany_task_id: an id checked by :func:`~airflow_provider_seeany.api.request.checked_task_id`.
        """
        try:
            return read_task(self._get(self.settings.task_url(seeany_task_id)), seeany_task_id)
        except ApiError as error:
            return error.trouble

    def get_json(self, endpoint: str, params: Mapping[str, Any] | None = None) -> Any:
        """
        Ask once for any endpoint and return the decoded JSON.

        :raises ApiError: if that brought no answer.
        """
        return read_json(self._get(self.settings.url(endpoint), params))

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def _get(self, url: str, params: Mapping[str, Any] | None = None) -> Response:
        key, limit = self.settings.api_key, self.settings.request_timeout
        give_up = time.monotonic() + limit
        try:
            with self.session.get(url, params=params, timeout=limit, allow_redirects=False, stream=True) as raw:
                body = bytearray()
                # read1 returns what has arrived, so that a trickle of bytes cannot outlast the limit.
                while chunk := raw.raw.read1(65_536, decode_content=False):
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise too_large(Response(status=raw.status_code, headers=raw.headers, body=b"", secret=key))
                    if time.monotonic() > give_up:
                        raise requests.ReadTimeout(f"the answer took longer than {limit:g} s")
                return Response(status=raw.status_code, headers=raw.headers, body=bytes(body), secret=key)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise unreachable(error, key) from None
