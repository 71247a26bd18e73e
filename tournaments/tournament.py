"""A tournament: its config, and the run that plays the missing games.

schedule makes fixtures; the store says which are missing; playing plays them; the store keeps each game once.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, PositiveFloat

from games.contract import Spec
from games.errors import UserError
from games.registry import make
from marl.agents.foreign import DECISION_SECONDS
from marl.agents.load import Identity, identify
from marl.base import engine as engines
from marl.base import lock
from marl.base.display import Display
from marl.base.drives import notes_on
from marl.base.files import refuse_links, write_text
from marl.base.schema import Count, OfGame, References, Size, dump
from marl.base.terminal import Terminal
from marl.rollout.loop import most_steps
from tournaments.playing.play import BATCH, NUM_ENVS, play_into
from tournaments.records import provenance
from tournaments.records.store import STORE, PlayedGame, Store, StoredAgent
from tournaments.schedules.round_robin import RoundRobin


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
    num_envs: Size = NUM_ENVS
    engine: engines.Engine = "processes"
    workers: Size = 2
    batch: Size = BATCH  # games that are played, and stored, together


def run(config: TournamentConfig, folder: Path, console: Terminal, retry_timeouts: bool = False) -> Path:
    """Play the fixtures that are missing and return the store's path. After a kill, run again: stored batches are kept.

    With `retry_timeouts`, games that ended because an agent took too long are played again.
    """
    engines.require(config.engine)
    with config.blame_game():
        spec = make(config.game, 1).spec
    agents = field(config, spec)
    schedule = RoundRobin(
        config.game,
        [agent.digest for agent in agents],
        spec.num_players,
        config.seeds,
        config.seed,
        self_play=spec.num_players == 2 and spec.payoff != "zero_sum",
        opening_moves=config.opening_moves,
        max_steps=_max_steps(config, spec),
    )
    with lock.held(folder, "a tournament"), open_store(config, spec, agents, folder) as store:
        done = store.played(schedule, retry_timeouts)
        note = f"; {done:,} are stored already" if done else ""
        console.print(f"{folder}: {len(schedule):,} games among {len(agents)} agents{note}")
        for note in notes_on(folder):
            console.print(f"note: {note}", style="yellow")
        if done < len(schedule):
            with (
                engines.kept(config.engine, folder),
                Display(str(folder), len(schedule), "games", console, done=done) as display,
            ):
                play_into(
                    store,
                    config.game,
                    {agent.digest: agent.reference for agent in agents},
                    schedule,
                    num_envs=config.num_envs,
                    workers=config.workers,
                    engine=config.engine,
                    decision_seconds=config.decision_seconds,
                    batch=config.batch,
                    retry_timeouts=retry_timeouts,
                    on_games=_Progress(display, done, agents).add,
                )
    return folder / STORE


class _Progress:
    """Show how many games are played, and the first game that each agent forfeits."""

    def __init__(self, display: Display, done: int, agents: Iterable[Identity]) -> None:
        self._display, self._done = display, done
        self._names = {agent.digest: agent.name for agent in agents}
        self._failed: set[str] = set()

    def add(self, games: Sequence[PlayedGame]) -> None:
        """Show some games that were played."""
        self._done += len(games)
        self._display.advance_to(self._done)
        for game in games:
            for failure in game.failures:
                agent = game.fixture.agents[failure.player]
                if agent not in self._failed:
                    self._failed.add(agent)
                    self._display.line(
                        f"'{self._names[agent]}' {failure.detail}, and forfeits that game; the report counts such games"
                    )


def _max_steps(config: TournamentConfig, spec: Spec) -> int | None:
    """Return `max_steps`, or None if it equals the default, so that both give the same fixtures."""
    return None if config.max_steps == most_steps(spec) else config.max_steps


def field(config: TournamentConfig, spec: Spec) -> list[Identity]:
    """Return who the agents of a tournament are; they are loaded when they first sit down.

    Raises UserError if one is missing, does not fit, or is named twice.
    """
    with config.origin.blame(("agents",)):
        agents = identify(config.agents, spec)
    first: dict[str, Identity] = {}
    for agent in agents:
        twin = first.setdefault(agent.digest, agent)
        if twin is not agent:
            raise UserError(f"'{agent.reference}' and '{twin.reference}' are the same agent; name each one once")
    if spec.num_players > 1 and len(agents) < 2:
        raise UserError(f"a tournament needs at least 2 agents, got {len(agents)}; add one to 'agents'")
    return agents


def open_store(config: TournamentConfig, spec: Spec, agents: Sequence[Identity], folder: Path) -> Store:
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
    store.add_agents(StoredAgent(agent.digest, agent.name, agent.reference) for agent in agents)
    provenance.record(store, config.game, agents)
    return store
