"""
SeeAny's callback: SeeAny calls back when a task has ended; the wait for it is resumed, or an asset gets its event.

A callback is only a notification: it causes a poll, and its body is not believed. How it hangs together::

    url, token      the URL to pass on when a SeeAny task is created; its token names the connection, perhaps an asset
    registration    the XCom by which a callback finds a wait; who deletes it may end the wait
    batch           the XComs by which it finds a batch, and reaches its trigger, which polls the task
    web/callback/   what the api-server does
        routes      checks token and rate, reads the body, calls the handler, and responds
        body        finds ids of SeeAny tasks in the body
        rate_limit  limits callbacks of a token, and polls of a task
        handler     finds the waits and the asset, polls each task once, and acts for both
        resume      finds registered waits in Airflow's database, and resumes one exactly once
        batches     finds batches there, and notes a callback for each
        asset_event finds an asset there, and makes its event of a SeeAny task exactly once
        session     the database sessions of both
        threads     runs blocking calls beside the event loop
"""
