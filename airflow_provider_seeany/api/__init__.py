"""
SeeAny's API: requests, responses, errors, and when to poll. Knows nothing of Airflow.

Bottom-up; each module imports earlier ones only:

- values: ``secret`` (the API key), ``text`` (sanitizing), ``errors``
- a response: ``fields`` and ``quantities`` (parsing a field), ``status_words``, ``result_urls``, ``task`` (a response
  as a typed value), ``task_id``
- a dialect of the API: ``error_body`` (code and message of an error), ``dialects`` (the endpoints, and how a body is
  read)
- a request: ``route`` (proxy and certificates), ``request`` (settings, URL, headers), ``lenient_json`` and
  ``response`` (decoding a body), ``parse`` (the one judgement of a response), the transports ``blocking`` (requests)
  and ``asynchronous`` (aiohttp), ``retries`` (within one call)
- a wait: ``settings``, ``expected_duration``, ``intervals`` (when to poll), ``outcome``, ``snapshot``, ``wait_log``,
  ``invalid_responses``, ``wait``
- a batch: ``poll_queue`` (which task to poll), ``circuit_breaker``, ``costs``, ``batch_result``, ``collector``,
  ``batch``
- ``clock`` (the time of a wait)
"""
