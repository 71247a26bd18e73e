"""The command that lists the algorithms."""

from importlib.metadata import entry_points

from marl.cli.options import (
    AsJson,
    print_json,
    say,
)


def algorithms(as_json: AsJson = False) -> None:
    """List the installed algorithms."""
    from marl.learning.registry import GROUP

    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    if as_json:
        print_json({"algorithms": [{"name": point.name, "learner": point.value} for point in found]})
        return
    for point in found:
        summary = (point.load().__doc__ or "").strip().splitlines() or [""]
        say(f"{point.name}: {summary[0]}")
