"""
A budget: how much may be spent in a day before another SeeAny task is created.

A sum that workers keep would lose what they add at the same time, so the api-server makes it, of the records of all
waits. A worker has no key of the api-server's: Airflow keeps its token from the task. What it can do is push an XCom
of its own task instance. So it pushes its query under the hash of a random token, and sends the token: whoever has it
is that task instance. That takes no secret to set up, and no response goes beyond the query in the database. ::

    limit           what a user sets
    query           the XCom and the response; both sides read this
    client          a worker's request to the api-server
    check           decides what the response means, and fails, skips or warns
    web/budget/     what the api-server does
"""
