"""Tests of what only one dialect of the API has; what both promise is tried with both in the other modules."""
