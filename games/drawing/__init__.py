"""Drawings of games as SVG, and what a click on them means."""
