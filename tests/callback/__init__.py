"""Tests of the callback: its parts, its database, its web route."""
