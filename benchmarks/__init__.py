"""What the provider costs, measured or simulated."""
