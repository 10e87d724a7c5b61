"""
SeeAny's callback: a doorbell, which says "look now" and never what there is to see.

How it hangs together::

    url, token      the URL to give to whatever creates a SeeAny task; the token in it names the connection
    doorbell        the mark that a wait leaves in Airflow's database, by which a ring finds it
    body            what a ring says: ids, if they can be read
    rate            how often one token may ring
    threads         blocking work beside the event loop
    waiting         finds the waits by their marks, and resumes one, exactly once
    answering       answers a ring: find, ask SeeAny, resume

The web part is :mod:`airflow_provider_seeany.web.callback.routes`.
"""
