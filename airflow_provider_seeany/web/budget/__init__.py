"""The api-server's part of a budget: the route for workers, and what was spent and is in flight."""
