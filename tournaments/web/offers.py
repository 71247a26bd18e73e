"""What a page offers to play: games, and for each the agents that can play it. A form may name nothing else.

Offered are agents that are built in, with some numbers of simulations, and what runs in the folder have trained. No
text of a form is read as a reference: it has to be one that was offered, letter by letter.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from games.contract import Box, Spec
from games.errors import UserError
from games.registry import from_file
from marl.agents import checkpoint
from marl.agents.built_in import BUILT_IN
from marl.agents.load import load_entrant, refuse_other_games
from marl.agents.references import read

SHELF = (  # games that are always offered, by what a visitor calls them
    ("Connect four", "openspiel:connect_four"),
    ("Tic-tac-toe", "openspiel:tic_tac_toe"),
    ("Breakthrough", "openspiel:breakthrough(rows=6,columns=6)"),
    ("Othello", "openspiel:othello"),
    ("Hex", "openspiel:hex(board_size=7)"),
    ("Go", "openspiel:go(board_size=9)"),
    ("Chess", "openspiel:chess"),
    ("Kuhn poker", "openspiel:kuhn_poker"),
    ("Leduc poker", "openspiel:leduc_poker"),
    ("Hearts", "openspiel:hearts"),
    ("Goofspiel", "openspiel:goofspiel(num_cards=5,points_order=descending)"),
    ("Pig", "openspiel:pig"),
)
TITLES = {game: title for title, game in SHELF}
SIMULATIONS = {"mcts": (100, 1_000, 10_000), "uct": (50, 200, 800)}  # that are offered, by agent
MOST = {"mcts": 40_000, "uct": 1_600}  # simulations of an agent that thinks longer
MOST_OF_NETWORKS = 800  # simulations of a search with a network
MOST_CHECKPOINTS = 5  # that are offered of a run


@dataclass(frozen=True)
class Offer:
    """An agent that is offered: its reference, and what it is called."""

    reference: str
    title: str
    group: str  # "Searches", "Scripts", "Trained here"


@dataclass(frozen=True)
class Run:
    """The folder of a run, and its name on the page."""

    name: str
    path: Path


def playable(spec: Spec, says: bool) -> str:
    """Return why people cannot play a game, in one sentence; "" if they can.

    They need moves to choose among, and a position that can be drawn for one player: `says` whether the game has words
    for what a player sees, where it has no positions.
    """
    if isinstance(spec.action, Box):
        return f"in '{spec.name}' actions are numbers, so that it can only be watched"
    if not (spec.searchable or says):
        return f"'{spec.name}' has neither positions nor words for what a player sees, so that it can only be watched"
    return ""


def registered(game: str) -> bool:
    """Return whether a game that a file of the folder names is built by registered code only."""
    try:
        return bool(from_file(game, "it is not offered"))
    except UserError:
        return False


def title_of(game: str) -> str:
    """Return what a game is called: its usual name, or its reference without the source."""
    return TITLES.get(game) or game.partition(":")[2] or game


def offered(spec: Spec, runs: Iterable[Run], among: Collection[str] | None = None) -> list[Offer]:
    """Return the agents that can play a game: the weakest first in each group; of all, or `among` some references.

    Only those are loaded, or their checkpoints read, that are returned or cannot play.
    """

    def asked(reference: str) -> bool:
        return among is None or reference in among

    found = [Offer(*each) for each in _built_in() if asked(each[0]) and _plays(each[0], spec)]
    return [*found, *(offer for run in runs for offer in _trained(run, spec, asked))]


def _built_in() -> Iterator[tuple[str, str, str]]:
    for name, numbers in SIMULATIONS.items():
        for number in numbers:
            yield f"{name}(simulations={number})", f"{name}, {number:,} simulations", "Searches"
    yield "random", "random", "Scripts"
    for name in BUILT_IN:
        if name not in (*SIMULATIONS, "random"):
            yield name, name.replace("_", " "), "Scripts"


def _plays(reference: str, spec: Spec) -> bool:
    try:
        load_entrant(reference, spec)
    except UserError:
        return False
    return True


def _trained(run: Run, spec: Spec, asked: Callable[[str], bool]) -> Iterator[Offer]:
    """Yield the newest checkpoint of a run, and some before it, if they play the game by a registered algorithm.

    Only those are read that are `asked` for, by their references.
    """
    home = (run.path / "checkpoints").resolve()
    if not home.is_relative_to(run.path.resolve()):  # a link that leads out of the folder
        return
    steps = sorted(path for path in home.glob("[0-9]*") if (path / "checkpoint.json").is_file())
    some = steps[:: -max(1, -(-len(steps) // MOST_CHECKPOINTS))]
    for folder in filter(lambda folder: asked(str(folder)), some):
        try:
            about = checkpoint.read(folder)
            refuse_other_games(folder, about, spec)
        except UserError:
            continue
        if ":" not in about["algorithm"]:  # else its class would be imported
            yield Offer(str(folder), f"{run.name}, {about['algorithm']} after {about['step']:,} steps", "Trained here")


def longer(reference: str) -> str | None:
    """Return the reference of an agent that thinks twice as long; None if it does not search, or not much longer."""
    agent = read(reference)
    options = dict(agent.arguments)
    if agent.name in MOST:
        now, most = int(options.get("simulations", 100)), MOST[agent.name]
    else:
        now, most = _simulations(Path(agent.name), options), MOST_OF_NETWORKS
    if not now or now >= most:
        return None
    return str(replace(agent, arguments=tuple((options | {"simulations": min(2 * now, most)}).items())))


def _simulations(folder: Path, options: dict[str, object]) -> int:
    """Return the simulations of a checkpoint's search; 0 if it has none."""
    if not (folder / "checkpoint.json").is_file() or options.get("search") is False:
        return 0
    found = options.get("simulations", checkpoint.read(folder)["settings"].get("simulations", 0))
    return found if isinstance(found, int) else 0
