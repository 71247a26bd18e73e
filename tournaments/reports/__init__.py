"""The facts of a store as tables, pages and pictures."""
