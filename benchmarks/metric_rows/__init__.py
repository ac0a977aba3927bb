"""Rows of the table of metrics against other tools, one module for each family."""
