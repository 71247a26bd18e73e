"""What the rating models share: the prior, Newton's method, parts, and what a fit offers to the rest.

A model's parameters x are the agents' strengths θ [n] in logits, and then those of the game: F in all.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from games.arrays import Floats, Ints
from games.errors import UserError
from tournaments.records.results import Results, sum_by

_Found = TypeVar("_Found")

PRIOR_SD = 2.0  # of θ, in logits: 347 Elo
_MOST_SHARE = 1 - 1e-6  # the largest share of the information on a parameter that one seed may hold
SEAT_SD = 2.0  # of the difference of two seats' effects
DRAW_MEAN, DRAW_SD = math.log(0.5), 2.0  # of the logarithm of a prevalence of draws


@dataclass(frozen=True)
class Lineage:
    """Agents that are stages of one training run, and the sd in logits of the gain from one stage to the next."""

    chains: tuple[tuple[str, ...], ...]  # agents in the order of training
    sd: float


@dataclass(frozen=True, eq=False)
class Prior:
    """A normal prior of the parameters. Without a prior (`sd` None) its precision is 0.

    With a lineage the first agent of each chain is drawn from N(0, sd²), and each other one from its predecessor's
    strength: θ_{t+1} − θ_t ~ N(0, τ²).
    """

    sd: float | None  # of θ
    centre: Floats  # [F]
    precision: Floats  # [F] of each parameter by itself
    gains: Floats | None = None  # [n, n] precision of the gains along chains; None without a lineage

    @classmethod
    def of(
        cls, sd: float | None, agents: Sequence[str], seats: int, draws: int, lineage: Lineage | None = None
    ) -> "Prior":
        """Return the prior of n agents, of seat effects (one: the difference of two) and of prevalences of draws.

        Chains may name agents that have not played. Raises UserError for an sd that is not above 0.
        """
        if sd is not None and not sd > 0:
            raise UserError(f"expected a prior sd above 0 or none at all, got {sd}")
        n = len(agents)
        centre = np.array([0.0] * (n + seats) + [DRAW_MEAN] * draws)
        if sd is None:
            return cls(None, centre, np.zeros(len(centre)))
        precision = (
            np.array([sd] * n + [SEAT_SD if seats == 1 else SEAT_SD / math.sqrt(2)] * seats + [DRAW_SD] * draws) ** -2.0
        )
        if lineage is None:
            return cls(sd, centre, precision)
        place = {agent: k for k, agent in enumerate(agents)}
        gains = np.zeros((n, n))
        for chain in lineage.chains:
            stages = [place[agent] for agent in chain if agent in place]
            for before, after in pairwise(stages):
                gains[np.ix_([before, after], [before, after])] += np.array([[1, -1], [-1, 1]]) / lineage.sd**2
                precision[after] = 0.0
        return cls(sd, centre, precision, gains)

    @property
    def matrix(self) -> Floats:
        """The precision [F, F]."""
        matrix = np.diag(self.precision)
        if self.gains is not None:
            n = len(self.gains)
            matrix[:n, :n] += self.gains
        return matrix

    @property
    def diagonal(self) -> Floats:
        """The diagonal of `matrix` [F]."""
        return self.precision if self.gains is None else self.matrix.diagonal()

    def covariance(self, n: int) -> Floats:
        """Return the covariance of the agents' strengths [n, n]."""
        assert self.sd is not None, "without a prior there is no covariance"
        return self.sd**2 * np.eye(n) if self.gains is None else np.asarray(np.linalg.inv(self.matrix[:n, :n]))

    def pull(self, x: Floats) -> Floats:
        """Return minus the gradient of the prior's logarithm at x [F]."""
        pull = self.precision * (x - self.centre)
        if self.gains is not None:
            pull[: len(self.gains)] += self.gains @ x[: len(self.gains)]
        return pull

    def loss(self, x: Floats) -> float:
        """Return minus the prior's logarithm at x, up to a constant."""
        loss = (self.precision * (x - self.centre) ** 2).sum() / 2
        if self.gains is not None:
            theta = x[: len(self.gains)]
            loss += theta @ self.gains @ theta / 2
        return float(loss)


@dataclass(frozen=True, eq=False)
class Fit(ABC):
    """A model's parameters x = (θ, those of the game) that fit the results best."""

    theta: Floats  # [n] logits, mean 0 in each part
    log_likelihood: float  # of the results alone, without the prior
    prior: Prior
    part: Ints  # [n] agents that some chain of games connects; 0 is the largest part
    core: Ints  # [n] agents that each reach the other along "scored against"
    inverse: Floats  # [F, F] inverse of the negative Hessian, prior included

    @property
    @abstractmethod
    def flatness(self) -> float:
        """How many times flatter the expected score against an equal is, as θ grows, than the Elo curve."""

    @property
    @abstractmethod
    def nu(self) -> float:
        """The prevalence of draws of two players; 0 without draws."""

    @property
    @abstractmethod
    def draw_rate(self) -> float:
        """The share of the comparisons of two players in a game that were draws."""

    @property
    @abstractmethod
    def seat_weights(self) -> Floats:
        """The weights of the parameters in each seat's effect relative to the mean of the others [N, F]."""

    @property
    @abstractmethod
    def seat_effects(self) -> Floats:
        """Each seat's effect in logits, relative to the mean of the others [N]."""

    @abstractmethod
    def scores(self) -> tuple[Floats, Floats]:
        """Return each agent's games and mean score [n]; the score is NaN where it was compared with nobody."""

    @abstractmethod
    def by_seed(self, results: Results) -> "tuple[BySeed, BySeed]":
        """Return each seed's scores, without those of one-sided results, and its information on each parameter."""

    @abstractmethod
    def one_sided(self) -> Floats:
        """Return the model's information on the parameters [F, F] in the one-sided results."""


@dataclass(frozen=True, eq=False)
class BySeed:
    """A number for each seed and parameter [S, F]: agents' where they played, those of the game in every seed."""

    agents: csr_matrix  # [S, n]
    game: Floats  # [S, F − n]

    def sum(self) -> Floats:
        """Return the sum over seeds [F]."""
        return np.concatenate([np.asarray(self.agents.sum(0)).ravel(), self.game.sum(0)])

    def scaled(self, factor: Floats) -> "BySeed":
        """Return the numbers times a factor of each parameter [F]."""
        n = self.agents.shape[1]
        return BySeed(self._with(self.agents.data * factor[self.agents.indices]), self.game * factor[n:])

    def over(self, share: "BySeed") -> "BySeed":
        """Return the numbers, each over √(1 − its seed's share of the information)."""
        agents, game = (np.sqrt(1 - np.minimum(part, _MOST_SHARE)) for part in (share.agents.data, share.game))
        return BySeed(self._with(self.agents.data / agents), self.game / game)

    def squared(self) -> Floats:
        """Return Σ_s x_s x_sᵀ [F, F]."""
        n, free = self.agents.shape[1], self.agents.shape[1] + self.game.shape[1]
        square = np.empty((free, free))
        square[:n, :n] = (self.agents.T @ self.agents).toarray()
        square[:n, n:] = self.agents.T @ self.game
        square[n:, :n] = square[:n, n:].T
        square[n:, n:] = self.game.T @ self.game
        return square

    @classmethod
    def pair(cls, agents: csr_matrix, score: Floats, known: Floats) -> "tuple[BySeed, BySeed]":
        """Return the scores and the information by seed.

        Of agents, they are the real and the imaginary part of `agents` [S, n], which were `summed` together; those of
        the game are given each [S, F − n].
        """
        of_score, of_known = (
            csr_matrix((part, agents.indices, agents.indptr), agents.shape)
            for part in (agents.data.real, agents.data.imag)
        )
        return cls(of_score, score), cls(of_known, known)

    def _with(self, data: Floats) -> csr_matrix:
        return csr_matrix((data, self.agents.indices, self.agents.indptr), self.agents.shape)


def numbered(seeds: np.ndarray) -> tuple[Ints, int]:
    """Return the numbers of seeds [G], and how many there are."""
    _, seed = np.unique(seeds, return_inverse=True)
    return seed, int(seed.max(initial=-1)) + 1


def summed(row: Ints, column: Ints, values: Floats, shape: tuple[int, int]) -> csr_matrix:
    """Return the sums of the values with the same row and column; quickly where most places have one."""
    size = shape[0] * shape[1]
    if size > len(values):
        return csr_matrix((values, (row, column)), shape)
    place = row * shape[1] + column
    return csr_matrix((sum_by(place, values.real, size) + 1j * sum_by(place, values.imag, size)).reshape(shape))


def components(agents: Sequence[str], scored: csr_matrix) -> tuple[Ints, Ints]:
    """Return each agent's part, 0 being the largest, and its strong component in "scored against" [n, n]."""
    if not agents:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    scored.eliminate_zeros()
    part = connected_components(scored, connection="weak")[1]
    core = connected_components(scored, connection="strong")[1].astype(np.int64)
    size, first = np.bincount(part), dict[int, str]()
    for k, agent in zip(part.tolist(), agents, strict=True):
        first[k] = min(agent, first.get(k, agent))
    rank = np.empty(len(size), np.int64)
    rank[sorted(range(len(size)), key=lambda k: (-size[k], first[k]))] = np.arange(len(size))
    return rank[part], core


def require_bounded(part: Ints, core: Ints) -> None:
    """Raise UserError where the maximum of the likelihood, without a prior, is infinite."""
    if not len(part) or len(np.unique(core)) > len(np.unique(part)):
        raise UserError(
            "expected every agent to have scored and lost points along some chain of games, got one-sided results, "
            "whose maximum likelihood is infinite; rate them with a prior"
        )


def maximise(
    x: Floats,
    evaluate: Callable[[Floats], tuple[_Found, float]],
    derivatives: Callable[[Floats, _Found], tuple[Floats, Floats]],
) -> tuple[Floats, _Found, Floats]:
    """Find the maximum of a concave function by Newton's method; return x, what was evaluated there, and the inverse.

    `evaluate` returns something, and the height; `derivatives` the gradient and the negative Hessian from it, whose
    inverse at the maximum is returned. Raises UserError where there is no maximum.
    """
    found, height = evaluate(x)
    for _ in range(100):
        gradient, hessian = derivatives(x, found)
        try:
            factor = cho_factor(hessian, overwrite_a=True)
        except np.linalg.LinAlgError:
            break
        step = cho_solve(factor, gradient)
        size = np.abs(step).max(initial=0.0)
        if size < 1e-9:
            return x, found, cho_solve(factor, np.eye(len(x)), overwrite_b=True)
        step *= min(1.0, 2.0 / size)
        before = height
        found, height = evaluate(x + step)
        while height < before - 1e-9 * (1 + abs(before)):  # never downhill, whatever the starting point
            step /= 2
            found, height = evaluate(x + step)
        x = x + step
    raise UserError(
        "expected ratings to settle within 100 Newton steps, got results that do not bound them (one seat always wins, "
        "or one seating was never played); rate them with a prior"
    )
