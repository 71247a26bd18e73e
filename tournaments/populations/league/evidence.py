"""What is known of a learner against each opponent. It says whom the learner meets, and nothing else.

    s, n      score and games of the learner's newest checkpoint against the opponent, by the payoff table; those of
              its checkpoints k rounds back count δ^k, and what its last round of training scored, with δ
    w         (s + 1) / (n + 2), its win rate (pfsp.Tally)

Ratings and freezing read the table alone: training plays with exploration, against whom the matchmaking chose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from games.arrays import Floats
from marl.training.pfsp import MEMORY, Tally
from tournaments.populations.league.matchmaking import Candidates
from tournaments.ratings.table import Table

REMEMBERED = 10  # checkpoints back: those before count less than a thousandth
FORFEITED = 3  # games after which an agent that has forfeited all of them is not met any more


@dataclass(frozen=True)
class Learner:
    """A member that trains, as it is when a round begins.

    `line` are the digests of its checkpoints, newest first: that with which the round begins, those of the rounds
    before, back to its start. It is empty before its first checkpoint, and again after a reset.
    """

    id: str
    role: str
    line: tuple[str, ...] = ()
    rounds: int = 0  # that it has trained since it froze last, or since its start

    @property
    def newest(self) -> str | None:
        """Its digest when the round begins."""
        return self.back(0)

    def back(self, k: int) -> str | None:
        """Return its digest k rounds back; None where there was none."""
        return self.line[k] if k < len(self.line) else None


@dataclass(frozen=True)
class FrozenMember:
    """A member that has frozen, or one that never trained."""

    digest: str
    role: str  # of the learner that it was
    round: int = 0  # in which it froze
    learner: str | None = None  # the id of the learner that it was

    def back(self, k: int) -> str | None:
        """Return its digest k rounds back, which is the same."""
        return self.digest


Opponent = Learner | FrozenMember
Outcomes = Mapping[str, Mapping[str, Tally]]  # of the last round of training: by learner's id and opponent's digest


@dataclass(frozen=True, eq=False)
class Evidence:
    """The games between members, and the outcomes of training episodes."""

    table: Table  # of the checkpoints of all lines, and of all that have frozen, as far as they have games
    outcomes: Outcomes = field(default_factory=dict)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {digest: place for place, digest in enumerate(self.table.agents)}

    @cached_property
    def forfeiters(self) -> frozenset[str]:
        """The digests of agents that have forfeited every game, FORFEITED or more: nothing is learnt from them."""
        games, forfeits = self.table.games.sum((0, 2)), self.table.forfeits.sum((0, 2))
        forfeit_all = (games >= FORFEITED) & (forfeits == games)
        return frozenset(np.array(self.table.agents, object)[forfeit_all])

    def cell(self, one: str | None, other: str | None) -> tuple[float, int]:
        """Return the score of an agent against another, by digests, and their pairs of games; (NaN, 0) without any."""
        i, j = (self._place.get(digest or "") for digest in (one, other))
        if i is None or j is None:
            return np.nan, 0
        return float(self.table.score[i, j]), int(self.table.pairs[i, j])

    def tally(self, learner: Learner, opponent: Opponent) -> Tally:
        """Return what counts of a learner's games against an opponent."""
        counts: dict[tuple[str, str], float] = {}  # each cell once, although a checkpoint may be as the one before
        for k, own in enumerate(learner.line[:REMEMBERED]):
            if (other := opponent.back(k)) is not None:
                counts.setdefault((own, other), MEMORY**k)
        found = [(count, *self.cell(*cell)) for cell, count in counts.items()]
        known = [(2 * count * pairs, score) for count, score, pairs in found if pairs]  # games, and their mean score
        trained = self.outcomes.get(learner.id, {}).get(opponent.back(1) or "") if learner.line else None
        if trained is not None and trained.episodes:
            known.append((MEMORY * trained.episodes, trained.score / trained.episodes))
        return Tally(sum(games for games, _ in known), sum(games * score for games, score in known))

    def win_rate(self, learner: Learner, opponent: Opponent) -> float:
        """Return a learner's win rate against an opponent: 1/2 against itself, and without games."""
        if isinstance(opponent, Learner) and opponent.id == learner.id:
            return 0.5
        return self.tally(learner, opponent).win_rate

    def candidates(self, learner: Learner, frozen: Sequence[FrozenMember]) -> Candidates:
        """Return frozen members, without forfeiters, as opponents of a learner among which a rule chooses."""
        in_order = sorted(frozen, key=lambda each: (each.digest, each.round))
        met = [each for each in {each.digest: each for each in in_order}.values() if each.digest not in self.forfeiters]
        return Candidates(
            digests=[each.digest for each in met],
            win_rates=np.array([self.win_rate(learner, each) for each in met], np.float64),
            rounds=np.array([each.round for each in met], np.int64),
            payoffs=lambda: self._payoffs([each.digest for each in met]),
        )

    def _payoffs(self, digests: Sequence[str]) -> Floats:
        """Return the mean payoffs over both seats between agents [n, n]; NaN where they are not known."""
        found = np.full((len(digests), len(digests)), np.nan)
        np.fill_diagonal(found, 0.0)
        known = [k for k, digest in enumerate(digests) if digest in self._place]
        places = [self._place[digests[k]] for k in known]
        inner = self.table.symmetric[np.ix_(places, places)].copy()
        np.fill_diagonal(inner, 0.0)  # of an agent with itself, whether it has played or not
        found[np.ix_(known, known)] = inner
        return found
