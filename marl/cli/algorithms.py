"""The command that lists the algorithms."""

from games import plugins
from marl.cli.options import AsJson, each_plug_in, print_json, say


def algorithms(as_json: AsJson = False) -> None:
    """List the installed algorithms."""
    from marl.learning.registry import algorithm

    if as_json:
        points = each_plug_in(plugins.ALGORITHMS, plugins.entry_point)
        print_json({"algorithms": [{"name": name, "learner": point.value} for name, point in points]})
        return
    for name, learner in each_plug_in(plugins.ALGORITHMS, lambda _, name: algorithm(name)):
        summary = (learner.__doc__ or "").strip().splitlines() or [""]
        say(f"{name}: {summary[0]}")
