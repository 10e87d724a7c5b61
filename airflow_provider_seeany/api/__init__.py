"""
What speaks SeeAny: requests, answers, errors and when to ask again. Knows nothing of Airflow.

From the bottom up: ``trouble`` (what can go wrong), ``task`` (an answer as a typed value), ``request``
(settings, URL and headers), ``response`` (what an HTTP reply means), ``polling`` (when to ask again), ``wait``
(what to do next), ``turns`` and ``batch`` (the same for many tasks), and the two transports, ``blocking``
(requests) and ``asynchronous`` (aiohttp).
"""
