"""What the api-server tells a budget."""
