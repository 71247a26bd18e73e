"""Imports run one way: games, marl, tournaments; only the command line sees all three."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = ("games", "marl", "tournaments")  # from the ground up
SEES_ALL = "marl/cli/app.py"


def imported(path: str, source: str) -> set[str]:
    """Return the modules that a file imports, wherever in it, relative ones by their full names."""
    found = set()
    package = path.removesuffix(".py").split("/")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = ".".join((package[: -node.level] if node.level else []) + ([node.module] if node.module else []))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def upward(path: str, source: str) -> set[str]:
    """Return the imports of a file that run up to a floor above its own."""
    above = FLOORS[FLOORS.index(path.split("/")[0]) + 1 :]
    return set() if path == SEES_ALL else {name for name in imported(path, source) if name.split(".")[0] in above}


def other_algorithms(path: str, source: str) -> set[str]:
    """Return the modules of algorithms that an algorithm's file imports."""
    if not path.startswith("marl/algorithms/"):
        return set()
    family = path.split("/")[2]
    found = {name for name in imported(path, source) if name.startswith("marl.algorithms.")}
    return {name for name in found if name.split(".")[2] != family}


def sources() -> dict[str, str]:
    """Return the text of every module, by its path."""
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_no_import_runs_up():
    assert {path: found for path, source in sources().items() if (found := upward(path, source))} == {}


def test_an_import_that_runs_up_is_found():
    assert upward("games/vector.py", "def f():\n    from marl import rollout") == {"marl", "marl.rollout"}
    assert upward("marl/training/train.py", "import tournaments.store as s") == {"tournaments.store"}
    assert upward("marl/cli/app.py", "import tournaments.store") == set()


def test_no_algorithm_imports_another():
    assert {path: found for path, source in sources().items() if (found := other_algorithms(path, source))} == {}


def test_an_algorithm_that_imports_another_is_found():
    for source in (
        "from marl.algorithms.policy_gradient.ippo import Ippo",
        "import marl.algorithms.policy_gradient.ippo",
        "from marl.algorithms import policy_gradient",
        "def f():\n    from .. import policy_gradient",
        "from ..policy_gradient.ippo import Ippo",
    ):
        assert other_algorithms("marl/algorithms/zero/mappo.py", source), source
    assert not other_algorithms(
        "marl/algorithms/zero/mappo.py", "from marl.learning.returns import gae\nfrom .networks import linear"
    )
    assert not other_algorithms("marl/agents/load.py", "from marl.algorithms.policy_gradient.ippo import Ippo")


def test_nothing_is_named_utils():
    assert not [path for path in sources() if "util" in path]


def test_every_file_is_looked_at():
    assert {
        "games/contract.py",
        "marl/algorithms/policy_gradient/ippo.py",
        "tournaments/store.py",
        SEES_ALL,
    } <= sources().keys()
