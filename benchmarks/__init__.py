"""Measurements and simulations of what a wait costs."""
