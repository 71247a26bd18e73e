"""How the payoff table of a round is found: measured by games, or computed by the game's tree."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tournaments.populations.files import Member, Round
from tournaments.populations.meetings import Games, distinct
from tournaments.populations.meta_strategy import Meta, solve
from tournaments.populations.policies import Policies
from tournaments.populations.psro.config import PsroConfig
from tournaments.populations.psro.solution import more_games
from tournaments.ratings.table import Table


class Meetings(Protocol):
    """How the payoff table of a round is found."""

    def measure(self, round: Round, members: Sequence[Member], learners: Sequence[Member]) -> tuple[Table, Meta]:
        """Return the table of the members and of learners beside them, and the solution among the members."""

    def recall(self, round: Round) -> bool:
        """Take over what a round that is over has measured; return whether that was found."""


class Measurements:
    """Measure by games, until the value of the members' mixture is known."""

    def __init__(self, config: PsroConfig, games: Games) -> None:
        self._config, self._games = config, games

    def recall(self, round: Round) -> bool:
        return self._games.recall(round)

    def measure(self, round: Round, members: Sequence[Member], learners: Sequence[Member]) -> tuple[Table, Meta]:
        config, joined = self._config, [member.digest for member in members]
        present = [*members, *learners]
        pairs = self._games.planned(round)
        if pairs is None:
            decided = self._games.decided(present)
            pairs = np.where(decided == 0, config.games.at_least, decided)
        while True:
            table = self._games.play(round, present, pairs)
            meta = solve(table, joined, config.solver)
            more = more_games(table, meta, pairs, config.games)
            if more is None:
                return table, meta
            pairs = more


class Expectations:
    """Compute expected payoffs by the game's tree, from the policies that members tell."""

    def __init__(self, config: PsroConfig, policies: Policies) -> None:
        self._config, self._policies = config, policies

    def recall(self, round: Round) -> bool:
        """Do nothing: expectations are computed again."""
        return True

    def measure(self, round: Round, members: Sequence[Member], learners: Sequence[Member]) -> tuple[Table, Meta]:
        digests = list(distinct([*members, *learners]))
        paid = np.array([[self._policies.returns(one, other) for other in digests] for one in digests])  # [n, n, 2]
        table = Table.exact(digests, np.stack([paid[..., 0], paid[..., 1].T]))
        return table, solve(table, [member.digest for member in members], self._config.solver)
