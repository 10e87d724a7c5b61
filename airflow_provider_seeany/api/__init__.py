"""
What speaks SeeAny: requests, answers, errors and when to ask again. Knows nothing of Airflow.

From the bottom up: ``secret`` (the API key, and masking it), ``trouble`` (what can go wrong), ``fields`` (one field
of an answer), ``task`` (an answer as a typed value), ``route`` (proxies and certificates), ``request`` (settings, URL
and headers), ``lenient_json`` and ``response`` (what an HTTP reply means), ``polling`` (when to ask again), ``clock``
(the time of a wait), ``wait`` (what to do next), ``outage`` (a service that is down), ``turns``, ``batch_result`` and
``batch`` (the same for many tasks), ``retries`` (asking again within one call), and the two transports, ``blocking``
(requests) and ``asynchronous`` (aiohttp).
"""
