"""Tests of what the api-server serves."""
