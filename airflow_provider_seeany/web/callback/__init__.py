"""The callback route: receives SeeAny's callbacks and resumes the waits that they are about."""
