"""A page that is served while a test asks it, of a folder that the test fills."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.served import Served

# Without the extra `web` there is no page to test.
collect_ignore_glob = [] if find_spec("starlette") and find_spec("uvicorn") else ["test_*.py"]


@pytest.fixture
def serve(tmp_path):
    """Serve folders: `serve(folder)` returns what answers, until the test ends."""
    from tests.web.served import Served

    opened: list[Served] = []

    def begin(folder: Path, token: str | None = None) -> "Served":
        served = Served(folder, tmp_path / "cache", token)
        opened.append(served.__enter__())
        return served

    yield begin
    for served in opened:
        served.__exit__()
