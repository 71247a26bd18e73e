"""Imports run one way: between packages, and between the rooms of marl/ (docs: the house in the README)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The rooms from the ground up. A room sees all floors below its own, and none beside it.
FLOORS = (
    ("games",),
    ("marl.base", "marl.equilibria"),
    ("marl.rollout",),
    ("marl.search", "marl.learning"),
    (
        "marl.algorithms.policy_gradient",
        "marl.algorithms.deterministic_gradient",
        "marl.algorithms.value_factorization",
        "marl.algorithms.opponent_shaping",
        "marl.algorithms.minimax_q",
        "marl.algorithms.zero",
        "marl.algorithms.co_training",
        "marl.algorithms.tabular",
        "marl.agents",
    ),
    ("marl.evaluation",),
    ("marl.training", "tournaments.records"),
    ("tournaments.ratings",),
    ("tournaments.schedules", "tournaments.reports"),
    ("tournaments.playing",),
    ("tournaments.playback",),
    ("tournaments",),
    ("tournaments.populations",),
    ("tournaments.web",),
    ("marl.cli",),
    ("tournaments.commands", "tournaments.populations.commands", "tournaments.web.commands"),
    ("marl",),  # the public face: what else sees it sees through it
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
TOURNAMENTS = tuple(room for room in LEVEL if room.startswith("tournaments") and not room.endswith("commands"))
# What a room does not see although it lies below: commands of other packages come by entry point, and tournaments of
# agents do not train them.
NOT_SEEN = {"marl.cli": TOURNAMENTS} | {
    room: ("marl.training",) for room in TOURNAMENTS if room not in ("tournaments.populations", "tournaments.web")
}


def room_of(module: str) -> str | None:
    """Return the room in which a module lies; None for a module of somebody else."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in LEVEL), None)


def imported(path: str, source: str) -> set[str]:
    """Return the modules that a file imports, wherever in it, relative ones by their full names."""
    found = set()
    package = path.removesuffix(".py").split("/")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = ".".join((package[: -node.level] if node.level else []) + ([node.module] if node.module else []))
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if (room_of(name) or module) != room_of(module) else module for name in names}
    return found


def not_allowed(path: str, source: str) -> set[str]:
    """Return the imports of a file that do not run down: to a floor above its own, or to another room beside it."""
    own = room_of(path.removesuffix(".py").replace("/", "."))
    assert own is not None, path
    found = {(module, room) for module in imported(path, source) if (room := room_of(module)) not in (None, own)}
    return {module for module, room in found if LEVEL[room] >= LEVEL[own] or room in NOT_SEEN.get(own, ())}


def sources() -> dict[str, str]:
    """Return the text of every module, by its path."""
    files = [path for package in ("games", "marl", "tournaments") for path in (ROOT / package).rglob("*.py")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_imports_run_down():
    assert {path: found for path, source in sources().items() if (found := not_allowed(path, source))} == {}


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("games/vector.py", "def f():\n    from marl import rollout", {"marl.rollout"}),
        ("games/vector.py", "import marl", {"marl"}),
        ("marl/training/train.py", "import tournaments.records.store as s", {"tournaments.records.store"}),
        ("marl/training/train.py", "from marl.agents.load import load_entrant", set()),
        ("marl/rollout/loop.py", "from marl.learning.returns import gae", {"marl.learning.returns"}),
        ("marl/search/search.py", "from marl.learning import networks", {"marl.learning"}),
        ("marl/learning/learner.py", "from marl.agents import load", {"marl.agents"}),
        ("marl/equilibria/nash.py", "from marl.base import intervals", {"marl.base"}),
        ("marl/equilibria/nash.py", "from games.arrays import Floats", set()),
        ("tournaments/reports/summary.py", "from marl.equilibria import solve", set()),
        ("marl/base/yaml.py", "if TYPE_CHECKING:\n    from marl.rollout.types import View", {"marl.rollout.types"}),
        (
            "marl/algorithms/zero/muzero.py",
            "from ..policy_gradient.ippo import Ippo",
            {"marl.algorithms.policy_gradient.ippo"},
        ),
        ("marl/algorithms/zero/muzero.py", "from .networks import tower", set()),
        ("marl/algorithms/co_training.py", "from marl.algorithms import zero", {"marl.algorithms.zero"}),
        ("marl/agents/load.py", "import marl.algorithms.zero.muzero", {"marl.algorithms.zero.muzero"}),
        ("tournaments/playing/match.py", "from marl.training.runlog import RunLog", {"marl.training.runlog"}),
        ("marl/cli/app.py", "import tournaments.records.store", {"tournaments.records.store"}),
        ("marl/cli/app.py", "from tournaments import commands", {"tournaments.commands"}),
        ("marl/cli/app.py", "from marl import evaluate", {"marl"}),
        ("tournaments/commands.py", "from marl.cli.options import Sets", set()),
    ],
)
def test_an_import_that_does_not_run_down_is_found(path, source, found):
    assert not_allowed(path, source) == found


def test_nothing_is_named_utils():
    assert not [path for path in sources() if "util" in path]


def test_every_room_is_looked_at_and_every_file_has_a_room():
    rooms = {path: room_of(path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")) for path in sources()}
    assert set(rooms.values()) == set(LEVEL)
    face = {path for path, room in rooms.items() if room == "marl"}  # a new room that no floor has would be here
    names = ("__init__", "__main__", "api", "names", "algorithms/__init__")
    assert face == {f"marl/{name}.py" for name in names}
