"""
Everything that a wait pushes to XCom::

    task_instance   the key of a task instance, under which its XComs are
    raw             an XCom past a custom XCom backend
    record_key      the keys of records, of which sums are made
    record          progress, claim and record
    untrusted       reads them back from XComs, under which any DAG may push anything
    result          the XComs of a wait that has ended
    asset_events    what the events of outlets tell
"""
