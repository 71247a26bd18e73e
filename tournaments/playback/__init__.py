"""Recorded games played again: to show them, to export them, and to check them."""
