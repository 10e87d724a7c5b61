"""
What speaks SeeAny: requests, answers, errors and when to ask again. Knows nothing of Airflow.

From the bottom up: ``trouble`` (what can go wrong), ``task`` (an answer as a typed value), ``request``
(settings, URL and headers), ``response`` (what an HTTP reply means), ``polling`` (when to ask again), ``clock``
(the time of a wait), ``wait`` (what to do next), ``turns`` and ``batch`` (the same for many tasks), ``retries``
(asking again within one call), and the two transports, ``blocking`` (requests) and ``asynchronous`` (aiohttp).
"""
