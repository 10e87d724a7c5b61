"""What a wait pushes to XCom: the result, the record for the UI, its key."""
