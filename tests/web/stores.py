"""Stores that tests of the page make up."""

from pathlib import Path

from games.keys import stream
from tournaments.records.fixture import Fixture
from tournaments.records.played import PlayedGame
from tournaments.records.store import STORE, Store

GAME = "openspiel:tic_tac_toe"
SPEC = {"num_players": 2, "payoff": "zero_sum", "return_bounds": [-1.0, 1.0]}


def games(ids, game=GAME, seeds=range(4)):
    """Return games of all pairs in both seats: who comes first in the list wins, every third game is a draw."""
    for seed in seeds:
        for a in ids:
            for b in ids:
                if a != b:
                    won = 0.0 if (seed + ids.index(a)) % 3 == 0 else 1.0 if ids.index(a) < ids.index(b) else -1.0
                    yield PlayedGame(
                        Fixture(game, (a, b), stream(seed, "test"), 0, None), (won, -won), "finished", 7, b"\0"
                    )


def open_store(folder: Path, agents=("strong", "middling", "weak"), game=GAME) -> Store:
    """Return a store that is open to be written, with agents and no games."""
    store = Store(folder / STORE, create=True)
    store.set("game", game)
    store.set("spec", SPEC)
    for place, name in enumerate(agents):
        store.add_agent(f"{place:064x}", name, "random")
    return store


def write_store(folder: Path, agents=("strong", "middling", "weak"), game=GAME, seeds=range(4)) -> Path:
    """Write a store with the games of some agents."""
    with open_store(folder, agents, game) as store:
        store.add(games([f"{place:064x}" for place in range(len(agents))], game, seeds))
    return folder
