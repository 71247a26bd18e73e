"""Worker processes of one module's tests: they begin once, since each takes seconds to import torch."""

import pytest

from marl.base import crew


@pytest.fixture(scope="module", autouse=True)
def workers():
    with crew.kept():
        yield
