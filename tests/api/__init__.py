"""Tests of the layer that speaks SeeAny."""
