"""Waits as a worker sees them: what to leave to the trigger, and what its outcome means."""
