"""The buttons that lead to what was made."""
