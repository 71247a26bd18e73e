"""A newcomer enters a tournament that was played: it plays itself, and is then placed by the games that say most."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from games.contract import Spec, Teams
from games.errors import UserError
from games.registry import from_file, make
from marl.agents.entrants import Identity
from marl.agents.load import identify
from marl.agents.references import untrusted
from marl.base import engine as engines
from marl.base import lock
from marl.base.files import absent
from marl.base.schema import load
from marl.base.terminal import Terminal
from tournaments.playing.match import dismiss, play
from tournaments.ratings.elo import refusal
from tournaments.ratings.table import Reader
from tournaments.records import provenance
from tournaments.records.facts import Facts
from tournaments.records.fixture import Fixture, seeds_of
from tournaments.records.played import StoredAgent
from tournaments.records.results import Results
from tournaments.records.store import STORE, Store, stored
from tournaments.schedules.active import Active, One
from tournaments.schedules.gauntlet import GauntletConfig
from tournaments.schedules.rounds import Outcome, Schedule
from tournaments.tournament import TournamentConfig, entry_of, play_schedule

TRIALS = 4  # games of the newcomer against itself
COPY = "copy the folder and add to the copy"


@dataclass(frozen=True)
class Target:
    """When a newcomer's place is known: the half width of its 95 % interval, in Elo, or after so many games.

    A pairing plays at most `seeds` seeds, those of the tournament's config by default.
    """

    ci95: float = 25.0
    seeds: int | None = None
    max_games: int | None = None


def place(
    store: Path, reference: str, target: Target, console: Terminal, trusted: Collection[str] = ()
) -> tuple[Path, Outcome]:
    """Try a newcomer in games against itself, then play its games into a store; return the store and what was found.

    Who meets it follows from the games of the others in the store, so that this goes on after a kill as it was. In
    games without Elo it plays all seeds against all others. Raises UserError, with nothing written, for a store without
    games or without its config, for an agent that is there under another name, for one that fails against itself, where
    the game has other teams than the store's games, and where it is code that is not `trusted`. Agents that are code
    are left out unless they are trusted.
    """
    with stored(store) as opened:
        folder = opened.path.parent
        config = config_of(folder)
        if target.seeds is not None:
            config = config.model_copy(update={"seeds": target.seeds})
        engines.require(config.engine)
        if (game := opened.get("game", config.game)) != config.game:
            raise UserError(
                f"'{folder}' holds games of '{game}', and its config.yaml names '{config.game}'; put the config right"
            )
        if config.game not in trusted:
            from_file(config.game, f"if you trust it, type it yourself: --trust {shlex.quote(config.game)}")
        spec = make(config.game, 1).spec
        _refuse_other_teams(opened, spec, folder)
        newcomer = _newcomer(reference, spec)
        others = _others(opened, newcomer, spec, console, {*trusted, newcomer.reference})
    _try(config, newcomer, spec)
    with lock.held(folder, "a tournament", COPY), Store(folder / STORE, create=True) as opened:
        opened.add_agents([StoredAgent(newcomer.digest, newcomer.name, newcomer.reference)])
        provenance.record(opened, config.game, [newcomer])
        agents = [*others, newcomer]
        schedule = _schedule(config, opened, spec, agents, target)
        outcome = play_schedule(config, opened, schedule, agents, folder, console)
    return folder / STORE, outcome


def config_of(folder: Path) -> TournamentConfig:
    """Return the config of a tournament that was played; raises UserError for a folder without one."""
    path = folder / "config.yaml"
    if not path.exists():
        what = absent(path, "`marl tournament run` writes it")
        raise UserError(f"expected the folder of a tournament, got '{folder}': its config.yaml {what}")
    return load(TournamentConfig, path, record=True)


def _refuse_other_teams(store: Store, spec: Spec, folder: Path) -> None:
    """Raise UserError where the store's games have other teams than the game now: the newcomer's would not count."""
    then, now = Facts.of(store).teams, spec.teams
    if then != now:
        command = shlex.join(["marl", "tournament", "run", str(folder / "config.yaml"), "--run-dir", str(folder)])
        raise UserError(
            f"expected games of '{spec.name}' with {_teams(now)}, got those of '{folder}' with {_teams(then)}; play "
            f"its tournament again: {command}"
        )


def _teams(teams: Teams) -> str:
    return f"the teams {', '.join(map(str, teams))}" if teams else "no teams"


def _newcomer(reference: str, spec: Spec) -> Identity:
    found = identify([reference], spec)
    if len(found) != 1:
        raise UserError(f"expected one agent, got '{reference}', which stands for {len(found)}; add each by itself")
    found[0].refuse_beside_others()
    return found[0]


def _others(
    store: Store, newcomer: Identity, spec: Spec, console: Terminal, trusted: Collection[str]
) -> list[Identity]:
    """Return who has played and is still what it was; the others are named, and left out."""
    seated = store.seated() - {newcomer.digest}
    if not seated:
        raise UserError(f"expected a store with games, got '{store.path}' without any; run its tournament first")
    for agent in store.agents():
        if agent.id == newcomer.digest and agent.reference not in ("", newcomer.reference):
            raise UserError(
                f"'{newcomer.reference}' and '{agent.reference}', which is in the store, are the same agent; "
                "an agent has one name"
            )
    found = []
    for agent in store.agents():
        if agent.id in seated:
            try:
                found.append(still_here(agent, store, spec, trusted))
            except UserError as error:
                console.print(f"note: '{agent.name}' is left out: {error}", style="yellow")
    if not found:
        raise UserError(f"expected agents that are still what they were in '{store.path}', got none; restore one")
    return found


def still_here(agent: StoredAgent, store: Store, spec: Spec, trusted: Collection[str]) -> Identity:
    """Return who an agent of the store is; raises UserError where it is not what has played, or is not trusted."""
    if not agent.reference:
        raise UserError("the store does not say how it is loaded")
    if reason := untrusted(agent.reference, trusted):
        raise UserError(f"it {reason}")
    for found in identify([agent.reference], spec):
        if found.digest == agent.id:
            return found
    raise UserError(f"'{agent.reference}' has changed since it played")


def _try(config: TournamentConfig, newcomer: Identity, spec: Spec) -> None:
    """Let an agent play against itself; raises UserError for its first failure."""
    seats = (newcomer.digest,) * spec.num_players
    trials = [Fixture(config.game, seats, key, config.opening_moves) for key in seeds_of(config.seed, range(TRIALS))]
    try:
        for game in play(config.game, [newcomer.reference], trials, TRIALS, config.decision_seconds):
            for failure in game.failures:
                raise UserError(
                    f"expected an agent that plays against itself without a failure, got '{newcomer.reference}', which "
                    f"as player {failure.player} at step {failure.ply} (seed {game.fixture.seed}) {failure.detail}; "
                    "mend it"
                )
    finally:
        dismiss()


def _schedule(
    config: TournamentConfig, store: Store, spec: Spec, agents: Sequence[Identity], target: Target
) -> Schedule:
    """Return the games that place the last of the agents."""
    entry, newcomer = entry_of(config, spec, agents), agents[-1]
    if refusal(spec.sides, spec.payoff) or len(agents) < spec.sides:
        return GauntletConfig(focal=(newcomer.reference,)).schedule(entry)
    place = sorted(entry.agents).index(newcomer.digest)
    one = One(place, entry.names[newcomer.digest], target.ci95)
    return Active(entry, one, target.max_games, (), _among(store, agents[:-1]), newcomer.digest)


def _among(store: Store, agents: Sequence[Identity]) -> Results:
    """Return the games in which nobody else sits than some agents."""
    results = Reader(store).results()
    digests = sorted(agent.digest for agent in agents)
    wanted = np.isin(results.agents, digests)[results.seats]
    return results.where(np.all(wanted, axis=1)).among(digests)
