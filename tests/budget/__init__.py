"""How a budget is asked about and decided in a worker."""
