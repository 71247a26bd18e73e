"""Property tests: how many examples they draw."""

from hypothesis import settings

settings.register_profile("test", derandomize=True, deadline=None)  # the same examples in every run
settings.register_profile("fuzz", max_examples=2000, deadline=None)  # others in every run, and many


def examples(count: int) -> int:
    """Return how many examples a test draws that draws `count` in `make test`: as many times more as the profile."""
    return count * settings.default.max_examples // 100
