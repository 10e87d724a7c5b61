"""
What speaks SeeAny: requests, answers, errors and when to ask again. Knows nothing of Airflow.

From the bottom up: ``trouble`` (what can go wrong), ``task`` (an answer as a typed value), ``request``
(settings, URL and headers), ``response`` (what an HTTP reply means), ``wait`` (what to do next while a task
is still running), and the two transports over them, ``blocking`` (requests) and ``asynchronous`` (aiohttp).
"""
