"""The command that lists the plug-ins."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from typing import Any

import typer

from games import plugins as registered
from games.errors import UserError, in_words
from games.text import sentence
from marl.cli import groups
from marl.cli.options import AsJson, print_json, say

OURS = "marl"  # the package of this project


@dataclass(frozen=True)
class PlugIn:
    """What a package has registered by an entry point."""

    group: str
    name: str
    reference: str  # module:attribute
    package: str | None
    version: str | None
    reason: str | None  # why it cannot be loaded; None where it can

    def __str__(self) -> str:
        package = f"{self.package} {self.version}" if self.package else "no package"
        return f"{self.name}: {self.reference} ({package})" + (f": fails: {self.reason}" if self.reason else "")


def plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """List what is registered by entry point: games, sources, wrappers, agents, algorithms, writers, commands.

    Each is imported to see whether it loads; of marl's own, only the module is looked for.
    """
    ours: Any = context.parent and context.parent.command
    found = [_plug_in(group, point, ours.commands) for group in registered.GROUPS for point in registered.points(group)]
    if as_json:
        print_json({"plugins": [asdict(one) | {"loads": one.reason is None} for one in found]})
        return
    for group in registered.GROUPS:
        say(group)
        for one in found:
            if one.group == group:
                say(f"  {one}")


def _plug_in(group: str, point: EntryPoint, commands: Collection[str]) -> PlugIn:
    """Return a plug-in, and whether it loads; `commands` are marl's own."""
    package = point.dist
    name, version = (package.name, package.version) if package else (None, None)
    return PlugIn(group, point.name, point.value, name, version, _reason(group, point, commands))


def _reason(group: str, point: EntryPoint, commands: Collection[str]) -> str | None:
    """Return why a plug-in cannot be loaded, None where it can."""
    if group == registered.COMMANDS and point.name in commands:
        return groups.left_out(point)
    try:
        registered.entry_point(group, point.name)  # refuses two of one name
        if point.dist is None or point.dist.name != OURS:
            load = _LOAD.get(group)
            load(point.name) if load else registered.load(group, point.name)
        elif find_spec(point.module) is None:
            return f"there is no module '{point.module}'; install marl again"
    except UserError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # a module may exit as it is imported
        return sentence(f"{in_words(error)}; mend or uninstall it")
    return None


def _source(name: str) -> Any:
    from games.sources import source

    return source(name)


def _agent(name: str) -> Any:
    from marl.agents.references import refuse_taken

    refuse_taken(name)
    return registered.load(registered.AGENTS, name)


def _algorithm(name: str) -> Any:
    from marl.learning.registry import algorithm

    return algorithm(name)


_LOAD: dict[str, Callable[[str], Any]] = {
    registered.SOURCES: _source,
    registered.AGENTS: _agent,
    registered.ALGORITHMS: _algorithm,
    registered.COMMANDS: groups.load,
}
