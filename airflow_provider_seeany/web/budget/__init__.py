"""The api-server's part of a budget: the route that workers ask, and what was spent and is in flight."""
