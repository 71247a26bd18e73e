"""Aggregates of logs and stores, kept outside the folder that a page shows."""

from pathlib import Path


class Index:
    """The aggregates in a cache folder."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
