"""The routes behind the tab and the page, their queries, and the values that they return."""
