"""Credit: who carries a team. Its coalitions play the same seeds, with a baseline in the seats of who is left out.

    ν(S)    the mean of what the team's seats are paid if the members of S play, and the baseline plays for the others

All seats that are not of the team hold the same agents in every game. Up to 8 members all coalitions play. Beyond, each
seed has a plan of its own (ratings/shapley.py), so that the spread over seeds shows what the choice of coalitions adds.
The games are in a store, as those of a tournament: a game that is stored is not played again.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from games.arrays import Floats, Ints
from games.contract import Spec
from games.errors import RunFailed, UserError
from games.keys import fold_one, stream
from games.registry import make
from games.text import markdown_table
from marl.agents.entrants import Identity
from marl.agents.load import identify
from marl.base import engine as engines
from marl.base import lock
from marl.base.display import Display
from marl.base.files import write_text
from marl.base.intervals import Estimate, estimate
from marl.base.schema import Count, OfGame, References, Size
from marl.base.terminal import Terminal
from tournaments.playing.play import play_into
from tournaments.ratings.shapley import MOST_EXACT, exact, least_budget, stratified, stratified_plan
from tournaments.records.fixture import Fixture, seeds_of
from tournaments.records.played import NO_RESULT
from tournaments.records.store import Store
from tournaments.reports.pairs import written
from tournaments.tournament import TournamentConfig, open_store

MOST_MEMBERS = 32
OF_GAME = "team:"  # followed by the number of one of the game's teams, the first of which is 0
BUDGET = 128  # coalitions of each seed, for more than 8 members


TeamOfGame = Annotated[str, Field(pattern=rf"^{OF_GAME}\d+$")]


class CreditConfig(OfGame):
    """A team, by the seats of its members, and who plays in their places."""

    kind: ClassVar[str] = "credit"
    agents: References = Field(min_length=1)  # one for each seat, or one for all of them
    team: tuple[Count, ...] | TeamOfGame = ()  # seats, or `team:K` of the game's teams; without teams all by default
    baseline: str = "random"
    seeds: Size = 50
    seed: int = Field(0, ge=0, lt=2**63)
    budget: Size | None = None
    engine: engines.Engine = "processes"
    workers: Size = 2


@dataclass(frozen=True)
class Member:
    """A member of a team: its seat, who holds it, and its Shapley value with the half width of its 95 % interval."""

    seat: int
    agent: str
    value: Estimate


@dataclass(frozen=True)
class Credit:
    """Who carries a team."""

    game: str
    baseline: str
    members: tuple[Member, ...]
    everybody: Estimate  # what the team earns
    nobody: Estimate  # what the baseline earns in all of its seats
    seeds: int
    coalitions: int  # of each seed
    exact: bool
    left_out: int  # seeds of which a game has no result

    titles: ClassVar[Sequence[str]] = ("agent", "seat", "credit", "share")

    @property
    def rows(self) -> list[list[str]]:
        """The table: a row for each member, in the order of the seats."""
        gained = self.everybody.mean - self.nobody.mean
        return [
            [
                member.agent,
                str(member.seat),
                _shown(member.value),
                f"{round(100 * member.value.mean / gained) + 0} %" if abs(gained) > 1e-9 else "—",
            ]
            for member in self.members
        ]

    @property
    def sentences(self) -> list[str]:
        """What the numbers are, one sentence each."""
        how = "All coalitions" if self.exact else "A sample of coalitions"
        found = [
            f"The team earns {_shown(self.everybody)}, and {_shown(self.nobody)} with '{self.baseline}' in all of its "
            "seats; credit (Shapley values) divides the difference.",
            f"{how} played: {self.coalitions} on each seed; seeds: {self.seeds}.",
            "Intervals are 95 % intervals of Student's t over seeds."
            if self.seeds > 1
            else "No intervals: one seed cannot show its luck.",
        ]
        if self.left_out:
            found.append(f"Seeds that are left out, since a game has no result: {self.left_out}.")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the credit as JSON data; an infinite interval is null."""
        return {
            "game": self.game,
            "baseline": self.baseline,
            "members": [{"seat": m.seat, "agent": m.agent} | _json(m.value) for m in self.members],
            "everybody": _json(self.everybody),
            "nobody": _json(self.nobody),
            "seeds": self.seeds,
            "coalitions": self.coalitions,
            "exact": self.exact,
            "seeds_left_out": self.left_out,
        }


def credit(config: CreditConfig, folder: Path, console: Terminal) -> Credit:
    """Play the games that are missing, and return who carries the team; written to the folder as Markdown and JSON.

    Raises UserError, before anything is written, for a team or seats that do not exist, agents that are not one for
    each seat, a baseline that cannot play, and a budget that is too small.
    """
    engines.require(config.engine)
    with config.blame_game():
        spec = make(config.game, 1).spec
    team = _team(config, spec)
    seated = _seated(config, spec)
    with config.origin.blame(("baseline",)):
        (baseline,) = _one(identify([config.baseline], spec), config.baseline)
    keys = seeds_of(config.seed, range(config.seeds))
    plans = _plans(config, len(team))
    fixtures = [
        [_fixture(config.game, seated, baseline, team, coalition, key) for coalition in plan.tolist()]
        for plan, key in zip(plans, keys, strict=True)
    ]
    agents = {agent.digest: agent for agent in (*seated, baseline)}
    with lock.held(folder, "a tournament"), _store(config, spec, agents, folder) as store:
        _play(config, store, agents, fixtures, folder, console)
        paid = _returns(store, agents, team)
    values = np.array([[paid.get(fixture.id, math.nan) for fixture in some] for some in fixtures])  # [S, C]
    found = _credited(config, team, seated, baseline, plans, values)
    _write(found, folder)
    return found


def _team(config: CreditConfig, spec: Spec) -> tuple[int, ...]:
    """Return the seats of the team."""
    with config.origin.blame(("team",)):
        if isinstance(config.team, str):
            number = int(config.team.removeprefix(OF_GAME))
            if number >= len(spec.teams):
                has, use = "no teams", "name seats"
                if spec.teams:
                    has, use = f"teams 0 to {len(spec.teams) - 1}", "name one of these, or seats"
                raise UserError(f"expected a team of '{config.game}', which has {has}, got '{config.team}'; {use}")
            team = spec.teams[number]
        elif spec.teams and spec.payoff == "zero_sum" and not config.team:
            raise UserError(
                f"expected a team of '{config.game}', whose players together gain nothing, got none; name one, such as "
                f"{OF_GAME}0, or seats"
            )
        else:
            team = tuple(sorted(config.team)) or tuple(range(spec.num_players))
        for seat in team:
            if seat >= spec.num_players:
                raise UserError(
                    f"expected a team of seats 0 to {spec.num_players - 1} of '{config.game}', got seat {seat}; name "
                    "seats that the game has"
                )
        if len(set(team)) < len(team):
            raise UserError(f"expected each seat of a team once, got {', '.join(map(str, team))}")
        if len(team) > MOST_MEMBERS:
            raise UserError(f"expected a team of at most {MOST_MEMBERS} members, got {len(team)}; name fewer seats")
    return team


def _seated(config: CreditConfig, spec: Spec) -> list[Identity]:
    """Return who holds each seat where all of the team plays."""
    with config.origin.blame(("agents",)):
        if len(config.agents) not in (1, spec.num_players):
            raise UserError(
                f"expected one agent for all seats or {spec.num_players}, one for each, got {len(config.agents)}"
            )
        found = [_one(identify([agent], spec), agent)[0] for agent in config.agents]
    return found if len(found) == spec.num_players else found * spec.num_players


def _one(found: Sequence[Identity], reference: str) -> Sequence[Identity]:
    if len(found) != 1:
        raise UserError(f"expected one agent, got '{reference}', which stands for {len(found)}; name one of them")
    found[0].refuse_beside_others()
    return found


def _plans(config: CreditConfig, n: int) -> list[Ints]:
    """Return the coalitions [C] of each seed."""
    with config.origin.blame(("budget",)):
        if n <= MOST_EXACT:
            if config.budget is not None:
                raise UserError(
                    f"a budget is for teams of more than {MOST_EXACT} members: all coalitions of {n} play; leave it out"
                )
            return [np.arange(1 << n)] * config.seeds
        budget = max(BUDGET, least_budget(n)) if config.budget is None else config.budget
        if budget < least_budget(n):
            raise UserError(
                f"expected a budget of at least {least_budget(n)} coalitions for {n} members, got {budget}; give more"
            )
    key = stream(config.seed, "coalitions")
    return [stratified_plan(n, budget, fold_one(key, number)) for number in range(config.seeds)]


def _fixture(
    game: str, seated: Sequence[Identity], baseline: Identity, team: Sequence[int], coalition: int, key: int
) -> Fixture:
    out = {seat for place, seat in enumerate(team) if not coalition >> place & 1}
    table = [baseline if seat in out else agent for seat, agent in enumerate(seated)]
    return Fixture(game, tuple(agent.digest for agent in table), key)


def _store(config: CreditConfig, spec: Spec, agents: Mapping[str, Identity], folder: Path) -> Store:
    played = TournamentConfig(
        game=config.game,
        agents=(*config.agents, config.baseline),
        seeds=config.seeds,
        seed=config.seed,
        engine=config.engine,
        workers=config.workers,
    )
    return open_store(played, spec, list(agents.values()), folder, "the credit of a team")


def _play(
    config: CreditConfig,
    store: Store,
    agents: Mapping[str, Identity],
    fixtures: Sequence[Sequence[Fixture]],
    folder: Path,
    console: Terminal,
) -> None:
    every = list({fixture.id: fixture for some in fixtures for fixture in some}.values())
    done = len(every) - len(store.missing(every))
    note = f"; {done:,} are stored already" if done else ""
    console.print(f"{folder}: {len(every):,} games of coalitions{note}")
    if done == len(every):
        return
    with (
        engines.kept(config.engine, folder),
        Display(str(folder), len(every), "games", console, done=done) as display,
    ):
        played = done

        def show(games: Sequence[object]) -> None:
            nonlocal played
            played += len(games)
            display.advance_to(played)

        references = {digest: agent.reference for digest, agent in agents.items()}
        play_into(store, config.game, references, every, workers=config.workers, engine=config.engine, on_games=show)


def _returns(store: Store, agents: Mapping[str, Identity], team: Sequence[int]) -> dict[str, float]:
    """Return what the team earned in each game, by the fixture's id: the mean over its seats whose payoff is known.

    So a game that a member forfeits counts with what the offender is paid for it.
    """
    found = {}
    for game in store.games(list(agents)):
        paid = np.array(game.payoffs)[list(team)]
        if game.termination not in NO_RESULT and not np.isnan(paid).all():
            found[game.fixture.id] = float(np.nanmean(paid))
    return found


def _credited(
    config: CreditConfig,
    team: Sequence[int],
    seated: Sequence[Identity],
    baseline: Identity,
    plans: Sequence[Ints],
    values: Floats,
) -> Credit:
    n = len(team)
    known = np.asarray(~np.isnan(values).any(1))
    if not known.any():
        raise RunFailed("every seed has a game without a result, so no credit is known; look at the store's games")
    whole = n <= MOST_EXACT
    plans = [plan for plan, counts in zip(plans, known, strict=True) if counts]
    values = values[known]
    shares = exact(values, n) if whole else np.stack([stratified(*each, n) for each in zip(plans, values, strict=True)])
    ends = [
        np.array([paid[plan.tolist().index(coalition)] for plan, paid in zip(plans, values, strict=True)])
        for coalition in ((1 << n) - 1, 0)
    ]
    return Credit(
        game=config.game,
        baseline=baseline.name,
        members=tuple(
            Member(seat, seated[seat].name, estimate(column)) for seat, column in zip(team, shares.T, strict=True)
        ),
        everybody=estimate(ends[0]),
        nobody=estimate(ends[1]),
        seeds=len(values),
        coalitions=values.shape[1],
        exact=whole,
        left_out=int((~known).sum()),
    )


def _write(found: Credit, folder: Path) -> None:
    lines = [f"# Credit: {found.game}", "", *markdown_table(found.titles, found.rows), ""]
    for sentence in found.sentences:
        lines += [sentence, ""]
    try:
        write_text(folder / "credit.json", json.dumps(found.to_json(), indent=1) + "\n")
        write_text(folder / "credit.md", "\n".join(lines))
    except OSError as error:
        raise RunFailed(f"expected to write to '{folder}', got '{error}'; make room, and run again") from error


def _shown(value: Estimate) -> str:
    return written(value.mean, value.interval if math.isfinite(value.interval) else None)


def _json(value: Estimate) -> dict[str, float | None]:
    return {
        "mean": round(value.mean, 9),
        "ci95": round(value.interval, 9) if math.isfinite(value.interval) else None,
    }
