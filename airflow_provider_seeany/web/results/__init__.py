"""The routes behind the tab and the page, and the queries that they run."""
