"""A page that is served while a test asks it, of a folder that the test fills."""

from pathlib import Path

import pytest

from tests.web.served import Served


@pytest.fixture
def serve(tmp_path):
    """Serve folders: `serve(folder)` returns what answers, until the test ends."""
    opened: list[Served] = []

    def begin(folder: Path, token: str | None = None) -> Served:
        served = Served(folder, tmp_path / "cache", token)
        opened.append(served.__enter__())
        return served

    yield begin
    for served in opened:
        served.__exit__()
