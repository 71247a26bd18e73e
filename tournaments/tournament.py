"""A tournament: its config, and the run that plays the missing games.

schedule makes fixtures; the store says which are missing; match plays them; the store keeps each game once.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field, PositiveFloat

from games.contract import Spec
from games.errors import UserError
from games.registry import make
from marl.agents.foreign import DECISION_SECONDS
from marl.agents.load import Entrant, load_entrants
from marl.base import engine as engines
from marl.base import lock
from marl.base.display import Display
from marl.base.drives import notes_on
from marl.base.files import refuse_links, write_text
from marl.base.schema import Count, OfGame, References, Size, dump
from marl.base.terminal import Terminal
from marl.rollout.loop import most_steps
from tournaments.match import chunks, dismiss, play_chunk
from tournaments.schedule import Fixture, round_robin
from tournaments.store import PlayedGame, Store

STORE = "games.sqlite"
Task = tuple[str, list[str], list[Fixture], int, float]  # the arguments of `play_chunk`


class TournamentConfig(OfGame):
    """One tournament: every agent against every other, each seed from every seat.

    In two-player games that are not zero-sum every agent also plays itself, once for each seed.
    """

    kind: ClassVar[str] = "tournament"
    agents: References = Field(min_length=1)  # references; a population folder stands for its members
    seeds: Size = 50  # for each pairing; each seed is played in every rotation of the seats
    seed: int = Field(0, ge=0, lt=2**63)
    opening_moves: Count = 0  # drawn at random, the same for all pairings and seatings of a seed
    max_steps: Size | None = None  # after these a game is cut and has no result; `most_steps` by default
    decision_seconds: PositiveFloat = DECISION_SECONDS  # the limit of a foreign agent for one decision
    num_envs: Size = 64
    engine: engines.Engine = "processes"
    workers: Size = 2
    batch: Size = 256  # games that are played, and stored, together


def run(config: TournamentConfig, folder: Path, console: Terminal, retry_timeouts: bool = False) -> Path:
    """Play the fixtures that are missing and return the store's path. After a kill, run again: stored batches are kept.

    With `retry_timeouts`, games that ended because an agent took too long are played again.
    """
    engines.require(config.engine)
    with config.blame_game():
        spec = make(config.game, 1).spec
    entrants = field(config, spec)
    fixtures = round_robin(
        config.game,
        [entrant.digest for entrant in entrants],
        spec.num_players,
        config.seeds,
        config.seed,
        self_play=spec.num_players == 2 and spec.payoff != "zero_sum",
        opening_moves=config.opening_moves,
        max_steps=_max_steps(config, spec),
    )
    with lock.held(folder, "a tournament"), open_store(config, spec, entrants, folder) as store:
        missing = store.missing(fixtures, retry_timeouts)
        done = len(fixtures) - len(missing)
        note = f"; {done:,} are stored already" if done else ""
        console.print(f"{folder}: {len(fixtures):,} games among {len(entrants)} agents{note}")
        for note in notes_on(folder):
            console.print(f"note: {note}", style="yellow")
        failed: set[str] = set()
        try:
            with Display(str(folder), len(fixtures), "games", console, done=done) as display:
                for games in engines.run(play_chunk, _tasks(config, entrants, missing), config.workers, config.engine):
                    store.add(games)
                    done += len(games)
                    display.advance_to(done)
                    for line in _first_failures(games, entrants, failed):
                        display.line(line)
        finally:
            dismiss()
    return folder / STORE


def stored(path: Path) -> Store:
    """Open a tournament's store to read it: by its own path, or its folder's. Raises UserError where there is none."""
    return Store(path / STORE if path.is_dir() else path)


def _first_failures(games: Iterable[PlayedGame], entrants: Iterable[Entrant], failed: set[str]) -> Iterator[str]:
    """Yield a line on the first game that each agent forfeits; `failed` are the agents that have had theirs."""
    name = {entrant.digest: entrant.name for entrant in entrants}
    for game in games:
        for failure in game.failures:
            agent = game.fixture.agents[failure.player]
            if agent not in failed:
                failed.add(agent)
                yield f"'{name[agent]}' {failure.detail}, and forfeits that game; the report counts such games"


def _max_steps(config: TournamentConfig, spec: Spec) -> int | None:
    """Return `max_steps`, or None if it equals the default, so that both give the same fixtures."""
    return None if config.max_steps == most_steps(spec) else config.max_steps


def field(config: TournamentConfig, spec: Spec) -> list[Entrant]:
    """Return the agents of a tournament; the processes of foreign agents are stopped.

    Raises UserError if one is missing, does not fit, or is named twice.
    """
    entrants: list[Entrant] = []
    with config.origin.blame(("agents",)):
        asked = [entrant for text in config.agents for entrant in load_entrants(text, spec).values()]
    for entrant in asked:
        entrant.rest()
        twin = next((other for other in entrants if other.digest == entrant.digest), None)
        if twin:
            raise UserError(f"'{entrant.reference}' and '{twin.reference}' are the same agent; name each one once")
        entrants.append(entrant)
    if spec.num_players > 1 and len(entrants) < 2:
        raise UserError(f"a tournament needs at least 2 agents, got {len(entrants)}; add one to 'agents'")
    return entrants


def open_store(config: TournamentConfig, spec: Spec, entrants: list[Entrant], folder: Path) -> Store:
    """Open the tournament's store, or make it; raises UserError where the folder holds another game's tournament."""
    refuse_links(folder / STORE)
    store = Store(folder / STORE, create=True)
    game = store.get("game")
    if game not in (None, config.game):
        store.close()
        raise UserError(f"'{folder}' holds a tournament of '{game}', not '{config.game}'; name another --run-dir")
    settings = (("opening_moves", config.opening_moves, 0), ("max_steps", _max_steps(config, spec), None))
    for key, now, default in settings:
        before = store.get(key, default)
        if game is not None and before != now:
            store.close()
            raise UserError(
                f"'{folder}' holds a tournament with {key}: {json.dumps(before)}, not {json.dumps(now)}; name another "
                "--run-dir"
            )
    try:
        write_text(folder / "config.yaml", dump(config))
    except OSError as error:
        store.close()
        raise UserError(f"the folder '{folder}' cannot be written: {error}; name another --run-dir") from error
    for key, now, _ in settings:
        store.set(key, now)
    store.set("spec", spec.to_json())
    store.set("game", config.game)  # last: a store that names its game has all other facts
    for entrant in entrants:
        store.add_agent(entrant.digest, entrant.name, entrant.reference)
    return store


def _tasks(config: TournamentConfig, entrants: list[Entrant], missing: list[Fixture]) -> list[Task]:
    """Return the fixtures of each call of a worker; games of foreign agents come last, since they may hang."""
    reference = {entrant.digest: entrant.reference for entrant in entrants}
    foreign = frozenset(entrant.digest for entrant in entrants if entrant.foreign)
    groups: dict[frozenset[str], list[Fixture]] = {frozenset(): []}  # by the foreign agents that are seated
    for fixture in missing:
        groups.setdefault(foreign.intersection(fixture.agents), []).append(fixture)
    return [
        (
            config.game,
            sorted({reference[agent] for fixture in piece for agent in fixture.agents}),
            piece,
            config.num_envs,
            config.decision_seconds,
        )
        for group in groups.values()
        for piece in chunks(group, config.batch)
    ]
