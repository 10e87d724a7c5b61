"""Tests of the trigger."""
