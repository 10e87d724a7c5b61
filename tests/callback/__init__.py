"""Tests of what worker, triggerer and api-server share of the callback: its token, URL and registration."""
