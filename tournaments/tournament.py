"""A tournament: its config, and the run that plays the missing games.

A schedule makes rounds of fixtures; the store says which are missing; playing plays them, and the store keeps them.
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat

from games.contract import Spec
from games.errors import RunFailed, UserError
from games.registry import make
from games.text import markdown_cell, markdown_table
from marl.agents.entrants import Identity
from marl.agents.foreign import DECISION_SECONDS
from marl.agents.load import identify
from marl.base import engine as engines
from marl.base import lock
from marl.base.files import refuse_links, write_text
from marl.base.schema import Count, OfGame, References, Size, dump
from marl.base.terminal import Terminal
from marl.rollout.loop import most_steps
from tournaments.playing.match import dismiss
from tournaments.playing.play import BATCH, NUM_ENVS, play_into
from tournaments.playing.progress import Progress
from tournaments.playing.rounds import play_rounds
from tournaments.records import provenance
from tournaments.records.played import StoredAgent
from tournaments.records.store import STORE, Store
from tournaments.reports.report import print_table
from tournaments.reports.schedule import RESULT, RESULT_TABLE
from tournaments.schedules.config import ScheduleConfig
from tournaments.schedules.round_robin import RoundRobinConfig
from tournaments.schedules.rounds import Entry, Outcome, Round, Rules, Schedule

TOURNAMENT = "a tournament"


class TournamentConfig(OfGame):
    """One tournament: who meets whom is up to the schedule; each seed is played from every seat, or by every team.

    By default every agent plays every other, and in two-player games that are not zero-sum itself, once for each seed.
    """

    kind: ClassVar[str] = "tournament"
    agents: References = Field(min_length=1)  # references; a population folder stands for its members
    schedule: ScheduleConfig = Field(default_factory=RoundRobinConfig)
    seeds: Size = 50  # for each pairing, or match; each seed is played in every rotation of the seats
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

    With `retry_timeouts`, games that ended because an agent took too long are played again. What the schedule found is
    printed, and written to `schedule.json` and `schedule.md` beside the store.
    """
    engines.require(config.engine)
    with config.blame_game():
        spec = make(config.game, 1).spec
    agents = field(config, spec)
    with config.origin.blame(("schedule",)):
        schedule = config.schedule.schedule(entry_of(config, spec, agents))
    with lock.held(folder, TOURNAMENT), open_store(config, spec, agents, folder) as store:
        outcome = play_schedule(config, store, schedule, agents, folder, console, retry_timeouts)
    write(outcome, config.schedule.kind, folder)
    tell(outcome, console)
    return folder / STORE


def play_schedule(
    config: TournamentConfig,
    store: Store,
    schedule: Schedule,
    agents: Sequence[Identity],
    folder: Path,
    console: Terminal,
    retry_timeouts: bool = False,
) -> Outcome:
    """Play what a store lacks of a schedule, and show how far that is; return what the schedule found."""
    references = {agent.digest: agent.reference for agent in agents}
    with ExitStack() as stack:
        stack.callback(dismiss)
        progress = stack.enter_context(Progress(schedule, agents, store, folder, console, board=not retry_timeouts))

        @cache
        def start() -> None:  # before the first round that is played
            stack.enter_context(engines.kept(config.engine, folder))

        def play(round: Round) -> None:
            start()
            play_into(
                store,
                config.game,
                references,
                round,
                num_envs=config.num_envs,
                workers=config.workers,
                engine=config.engine,
                decision_seconds=config.decision_seconds,
                batch=config.batch,
                retry_timeouts=retry_timeouts,
                on_games=progress.add,
                keep=True,
            )

        return play_rounds(store, schedule, play, progress.begin, retry_timeouts)


def tell(outcome: Outcome, console: Terminal) -> None:
    """Print what a schedule found, if anything."""
    if outcome.rows:
        print_table(console, outcome.titles, outcome.rows)
    if outcome.text:
        console.print(f"{outcome.text}.", style="yellow" if outcome.reached is False else "")


def write(outcome: Outcome, kind: str, folder: Path) -> None:
    """Write what a schedule found beside the store; of one that finds nothing, remove what another has written."""
    facts = {"kind": kind, "text": outcome.text, "reached": outcome.reached, **outcome.facts}
    if outcome.rows:
        facts["table"] = {"titles": outcome.titles, "rows": outcome.rows}
    table = markdown_table(outcome.titles, outcome.rows) if outcome.rows else []
    texts = {
        RESULT: json.dumps(facts, indent=1) + "\n",
        RESULT_TABLE: "\n".join([markdown_cell(f"{outcome.text}."), "", *table, ""]),
    }
    try:
        for name, text in texts.items():
            if outcome.text:
                write_text(folder / name, text)
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(f"expected to write to '{folder}', got '{error}'; make room, and run again") from error


def result_of(folder: Path) -> dict[str, Any]:
    """Return what `write` has written of a schedule that found something."""
    found: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return found


def entry_of(config: TournamentConfig, spec: Spec, agents: Sequence[Identity]) -> Entry:
    """Return what a schedule is made of: the rules of its games, and the agents, of which `find` finds some."""
    listed = {agent.digest for agent in agents}

    def find(key: str, references: Sequence[str]) -> list[str]:
        found = identify(references, spec)
        for agent in found:
            if agent.digest not in listed:
                raise UserError(f"expected {key} to be listed in 'agents', got '{agent.reference}'; add it there")
        return list(dict.fromkeys(agent.digest for agent in found))

    rules = Rules(
        config.game, spec.num_players, config.seed, config.opening_moves, _max_steps(config, spec), spec.teams
    )
    return Entry(rules, tuple(agent.digest for agent in agents), _names(agents), config.seeds, spec.payoff, find)


def _names(agents: Sequence[Identity]) -> dict[str, str]:
    """Return what to call agents, by digest: their names, with the first digits of the digest if several share one."""
    shared = Counter(agent.name for agent in agents)
    return {a.digest: a.name if shared[a.name] == 1 else f"{a.name} [{a.digest[:8]}]" for a in agents}


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
        if spec.num_players > 1:
            agent.refuse_beside_others()
        twin = first.setdefault(agent.digest, agent)
        if twin is not agent:
            raise UserError(f"'{agent.reference}' and '{twin.reference}' are the same agent; name each one once")
    if spec.num_players > 1 and len(agents) < 2:
        raise UserError(f"a tournament needs at least 2 agents, got {len(agents)}; add one to 'agents'")
    return agents


def open_store(
    config: TournamentConfig, spec: Spec, agents: Sequence[Identity], folder: Path, kind: str = TOURNAMENT
) -> Store:
    """Open the store of a tournament, or make it; `kind` says what else its games are for.

    Raises UserError where the folder holds the games of another game, or games of another kind.
    """
    refuse_links(folder / STORE)
    store = Store(folder / STORE, create=True)
    game = store.get("game")
    if game not in (None, config.game):
        store.close()
        raise UserError(f"'{folder}' holds a tournament of '{game}', not '{config.game}'; name another --run-dir")
    if game is not None and (held := store.get("kind", TOURNAMENT)) != kind:
        store.close()
        raise UserError(f"'{folder}' holds {held}, and {kind} needs a folder of its own; name another --run-dir")
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
    if kind != TOURNAMENT:
        store.set("kind", kind)
    store.set("game", config.game)  # last: a store that names its game has all other facts
    store.add_agents(StoredAgent(agent.digest, agent.name, agent.reference) for agent in agents)
    provenance.record(store, config.game, agents)
    return store
