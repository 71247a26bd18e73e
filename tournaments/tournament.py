"""A tournament: its config, and the run that plays what is missing.

schedule makes fixtures; the store says which are missing; match plays them; the store keeps each game once.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from games.contract import Spec
from games.errors import UserError
from games.registry import make
from marl import engine as engines
from marl.config import OfGame, References, dump
from marl.entrants import Entrant, entered
from marl.runlog import Display
from marl.terminal import Terminal
from tournaments.match import chunks, play_chunk
from tournaments.schedule import Fixture, round_robin
from tournaments.store import Store

STORE = "games.sqlite"


class TournamentConfig(OfGame):
    """One tournament: every agent against every other, each seed from every seat.

    In two-player games that are not zero-sum every agent plays itself, too, once a seed.
    """

    agents: References = Field(min_length=1)  # references; a population folder stands for its members
    seeds: PositiveInt = 50  # for each pairing; each seed is played in every rotation of the seats
    seed: int = Field(0, ge=0, lt=2**63)
    opening_moves: NonNegativeInt = 0  # drawn at random, the same for all pairings and seatings of a seed
    num_envs: PositiveInt = 64
    engine: engines.Engine = "processes"
    workers: PositiveInt = 2
    batch: PositiveInt = 256  # games that are played, and stored, together


def run(config: TournamentConfig, folder: Path, console: Terminal) -> Path:
    """Play the fixtures that are missing and return the store. Killed at any moment, it goes on from the last batch."""
    engines.require(config.engine)
    spec = make(config.game, 1).spec
    entrants = field(config, spec)
    digests = [entrant.digest for entrant in entrants]
    self_play = spec.num_players == 2 and spec.payoff != "zero_sum"
    fixtures = round_robin(
        config.game, digests, spec.num_players, config.seeds, config.seed, self_play, config.opening_moves
    )
    with open_store(config, spec, entrants, folder) as store:
        missing = store.missing(fixtures)
        stored = len(fixtures) - len(missing)
        had = f"; {stored:,} are stored already" if stored else ""
        console.print(f"{folder}: {len(fixtures):,} games among {len(entrants)} agents{had}")
        with Display(str(folder), len(fixtures), "games", console) as display:
            for games in engines.run(play_chunk, _tasks(config, entrants, missing), config.workers, config.engine):
                store.add(games)
                stored += len(games)
                display.advance_to(stored)
    return folder / STORE


def field(config: TournamentConfig, spec: Spec) -> list[Entrant]:
    """Return the agents of a tournament; raises UserError where one is missing, does not fit, or is named twice."""
    entrants: list[Entrant] = []
    for entrant in (entrant for text in config.agents for entrant in entered(text, spec).values()):
        twin = next((other for other in entrants if other.digest == entrant.digest), None)
        if twin:
            raise UserError(f"'{entrant.reference}' and '{twin.reference}' are the same agent; name each one once")
        entrants.append(entrant)
    if spec.num_players > 1 and len(entrants) < 2:
        raise UserError(f"a tournament needs at least 2 agents, got {len(entrants)}; add one to 'agents'")
    return entrants


def open_store(config: TournamentConfig, spec: Spec, entrants: list[Entrant], folder: Path) -> Store:
    """Open the tournament's store, or make it; raises UserError where the folder holds another game's tournament."""
    store = Store(folder / STORE, create=True)
    held = store.get("game")
    if held not in (None, config.game):
        store.close()
        raise UserError(f"'{folder}' holds a tournament of '{held}', not '{config.game}'; name another --run-dir")
    begun = store.get("opening_moves", 0)
    if held is not None and begun != config.opening_moves:
        store.close()
        raise UserError(
            f"'{folder}' holds a tournament with opening_moves: {begun}, not {config.opening_moves}; name another "
            "--run-dir"
        )
    try:
        (folder / "config.yaml").write_text(dump(config), encoding="utf-8")
    except OSError as error:
        store.close()
        raise UserError(f"the folder '{folder}' cannot be written: {error}; name another --run-dir") from error
    store.set("opening_moves", config.opening_moves)
    store.set("spec", spec.to_json())
    store.set("game", config.game)  # last: a folder that holds a game holds the rest of what it is
    for entrant in entrants:
        store.add_agent(entrant.digest, entrant.name, entrant.reference)
    return store


def _tasks(config: TournamentConfig, entrants: list[Entrant], missing: list[Fixture]) -> list[tuple[Any, ...]]:
    reference = {entrant.digest: entrant.reference for entrant in entrants}
    return [
        (
            config.game,
            sorted({reference[agent] for fixture in piece for agent in fixture.agents}),
            piece,
            config.num_envs,
        )
        for piece in chunks(missing, config.batch)
    ]
