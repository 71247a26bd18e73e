"""Results from the columns of a store's table of games; what no release wrote is a ValueError."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from games.arrays import Floats, Ints
from games.contract import Teams
from games.errors import UserError
from tournaments.records.played import TERMINATIONS
from tournaments.records.results import Results

MOST_PAYOFF = 1e100  # above any sum of float32 rewards; sums over games stay finite


@dataclass(frozen=True)
class Columns:
    """Columns of the table of games."""

    rowid: list[int] = field(default_factory=list)
    seed: list[int] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    payoffs: list[str] = field(default_factory=list)
    termination: list[str] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    rounding: list[float | None] = field(default_factory=list)


def numbers_of(tables: Sequence[str], several: str) -> Ints:
    """Return the agents' numbers by seat [G, N] of tables of agents; raises for what is no list of numbers."""
    if not tables:
        return np.zeros((0, 2), np.int64)
    if {table[:1] + table[-1:] for table in tables} != {"[]"} or any(table.count("[") > 1 for table in tables):
        raise ValueError("a game's agents are no list")
    seats = {table.count(",") + 1 for table in tables}
    if len(seats) > 1:
        raise UserError(f"expected games of one number of players, got {several}; rate each game's own store")
    text = ",".join(tables).replace("[", "").replace("]", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # so numpy says that it read no number
        try:
            numbers = np.fromstring(text, np.int64, sep=",")
        except DeprecationWarning as error:
            raise ValueError("a game's agents are no list of numbers") from error
    return numbers.reshape(len(tables), *seats)


def results_of(
    numbers: Ints,
    label: Mapping[int, str],
    columns: Columns,
    failed: Sequence[tuple[int, int]],
    copies: bool = False,
    teams: Teams = (),
) -> Results:
    """Return games by columns; raises ValueError and the like for what no release wrote.

    `numbers` [G, N] are the agents by seat, `label` says what to call them, `failed` the rows and players of failures.
    Games with `copies` of an agent count beside others, or only where there are no others. With `teams`, the columns
    [G, N] are those of teams: an agent holds all seats of a team, which is paid the sum and forfeits what one of them
    does. Games of mixed teams, whose members are different agents, do not count.
    """
    num_players = numbers.shape[1]
    unknown = set(columns.termination) - set(TERMINATIONS)
    if unknown:
        raise ValueError(f"the termination {unknown.pop()!r} is unknown")
    payoffs = _payoffs(columns.payoffs, num_players)
    if (np.abs(payoffs) > MOST_PAYOFF).any():
        raise ValueError("a payoff is larger than any game pays")
    lengths, bounds = np.array(columns.length, np.int64), np.array(columns.rounding, np.float64)  # null becomes NaN
    if (lengths < 0).any() or (bounds < 0).any():
        raise ValueError("a game's length or rounding is less than 0")
    offenders = _offenders(columns.rowid, failed, num_players)
    seeds = np.array(columns.seed, np.int64).view(np.uint64)
    pure = np.ones(len(numbers), bool)
    if teams and len(numbers):
        if sorted(chain(*teams)) != list(range(num_players)):
            raise ValueError(f"the teams {teams} are not those of {num_players} players")
        first = numbers[:, [team[0] for team in teams]]
        for team, holder in zip(teams, first.T, strict=True):
            pure &= (numbers[:, team] == holder[:, None]).all(1)
        numbers, num_players = first, len(teams)
        payoffs = np.stack([payoffs[:, team].sum(1) for team in teams], 1)
        offenders = np.stack([offenders[:, team].any(1) for team in teams], 1)
        bounds = bounds * max(map(len, teams))

    whole = np.asarray((np.diff(np.sort(numbers, 1), axis=1) > 0).all(1))
    # Where agents have been added, `round_robin` needs no more copies.
    if copies or num_players < 3 or not (whole & pure).any():
        whole[:] = True
    whole &= pure
    present, place = np.unique(numbers[whole], return_inverse=True)
    labels = [label[number] for number in present.tolist()]
    rank = np.empty(len(labels), np.int64)
    rank[sorted(range(len(labels)), key=labels.__getitem__)] = np.arange(len(labels))
    seats = rank[place.reshape(-1, num_players)]
    order = np.lexsort((*seats.T[::-1], seeds[whole]))
    games = np.flatnonzero(whole)[order]
    return Results(
        agents=tuple(sorted(labels)),
        seats=seats[order],
        payoffs=payoffs[games],
        seeds=seeds[games],
        terminations=np.array(columns.termination, np.str_)[games],
        lengths=lengths[games],
        rounding=bounds[games],
        offenders=offenders[games],
    )


def _payoffs(texts: Sequence[str], num_players: int) -> Floats:
    """Return payoffs [G, N]; null becomes NaN. Each text is read once, however many games paid so."""
    place = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    paid = np.array(json.loads(f"[{','.join(place)}]"), np.float64)
    if paid.shape != (len(place), num_players) and texts:
        raise ValueError(f"expected {num_players} payoffs in every game")
    return paid.reshape(-1, num_players)[np.fromiter(map(place.__getitem__, texts), np.int64, len(texts))]


def _offenders(rows: Sequence[int], failed: Sequence[tuple[int, int]], num_players: int) -> NDArray[np.bool_]:
    """Return who broke off the games [G, N], from the rows and the players of their failures."""
    offenders = np.zeros((len(rows), num_players), bool)
    place = {row: k for k, row in enumerate(rows)} if failed else {}
    for row, player in failed:
        if not 0 <= player < num_players:
            raise ValueError(f"player {player} of {num_players} broke off a game")
        offenders[place[row], player] = True
    return offenders
