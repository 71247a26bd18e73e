"""α-rank (Omidshafiei et al. 2019, https://doi.org/10.1038/s41598-019-45619-9): how often evolution plays a strategy.

Populations of `m` play one profile, until one mutant of one population takes it over or dies out. With u the mutant's
advantage times the intensity of selection α, it takes over with probability

    ρ = (1 - e^{-u}) / (1 - e^{-mu}),     1/m for u = 0;      u = α (payoff of the mutant - payoff of the others)

In one population, whose members also meet each other, the advantage changes with the number of mutants j:

    1/ρ = 1 + Σ_{l<m} e^{-α Σ_{j<=l} d_j},    d_j = f_mutant(j) - f_resident(j)

f being the mean payoff against the other m - 1 members. A profile's rank is its share of time in the Markov chain of
takeovers. With a higher α the ranks become those of best responses; the sweep doubles α until they change no more.
α-rank is ordinal, and not invariant to duplicates.
"""

import math
from collections.abc import Callable

import numpy as np

from games.arrays import Bools, Floats
from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies

MOST_PROFILES = 2_000  # the Markov chain has a state for each: 32 MB, and some seconds
WEAKEST = 1e-2  # α times the range of the payoffs where a sweep begins
DOUBLINGS = 40
SETTLED = 1e-6  # the largest change of a probability by a doubling of α at which the sweep ends


def alpharank(
    payoffs: Payoffs, *, alpha: float | None = None, population: int = 50, inf_alpha_eps: float = 0.01
) -> Strategies:
    """Return each player's share of time of its strategies. `alpha` None sweeps; infinity takes the limit.

    A symmetric game of two players is played by one population, other games by one for each player. Raises ValueError
    where there are more than 2,000 profiles.
    """
    if tables.symmetric(payoffs):
        share = of_one_population(payoffs[0], alpha=alpha, population=population, inf_alpha_eps=inf_alpha_eps)
        return share, share.copy()
    joint = of_profiles(payoffs, alpha=alpha, population=population, inf_alpha_eps=inf_alpha_eps)
    players = range(joint.ndim)
    return tuple(joint.sum(tuple(other for other in players if other != player)) for player in players)


def of_one_population(
    matrix: Floats,
    *,
    alpha: float | None = None,
    population: int = 50,
    inf_alpha_eps: float = 0.01,
    local: bool = False,
) -> Floats:
    """Return the ranks [A] of the strategies of a symmetric game: `matrix` [A, A] pays the row player.

    `local`: the mutant's payoff against a resident is compared with the resident's against the mutant, as OpenSpiel
    does by default.
    """
    moves = ~np.eye(len(matrix), dtype=bool)
    invader, resident = matrix.T, matrix  # [resident, mutant]: what the mutant earns, and what the resident does

    def taking_over(alpha: float) -> Floats:
        if local:
            return takeover(alpha * (invader - resident), population)
        own = np.diag(matrix)
        # f_mutant(j) - f_resident(j) = a + b j
        a = (population * invader - own[None, :] - (population - 1) * own[:, None]) / (population - 1)
        b = (own[None, :] - invader - resident + own[:, None]) / (population - 1)
        if np.abs(b).max(initial=0.0) * population <= tables.ROUNDING * tables.spread(matrix):  # a constant sum
            return takeover(alpha * a, population)
        return _frequency_dependent(alpha * a, alpha * b, population)

    return _shares(moves, invader - resident, taking_over, tables.spread(matrix), alpha, inf_alpha_eps)


def of_profiles(
    payoffs: Payoffs, *, alpha: float | None = None, population: int = 50, inf_alpha_eps: float = 0.01
) -> Floats:
    """Return the ranks [A_0, ..., A_{N-1}] of the profiles, with a population for each player."""
    shape = payoffs[0].shape
    size = math.prod(shape)
    if size > MOST_PROFILES:
        raise ValueError(
            f"expected at most {MOST_PROFILES:,} profiles for 'alpharank', got {size:,} of strategies "
            f"{' x '.join(map(str, shape))}; use 'replicator'"
        )
    moves, gain = _one_player_moves(payoffs)

    def taking_over(alpha: float) -> Floats:
        return takeover(alpha * gain, population)

    largest = max(tables.spread(tensor) for tensor in payoffs)
    return _shares(moves, gain, taking_over, largest, alpha, inf_alpha_eps).reshape(shape)


def takeover(u: Floats, population: int) -> Floats:
    """Return the probability that one mutant with the constant advantage `u` [...] takes over a population."""
    size = np.abs(u)
    with np.errstate(invalid="ignore", divide="ignore"):
        upward = np.expm1(-size) / np.expm1(-population * size)
    upward = np.where(population * size < 1e-12, 1 / population, upward)
    return np.asarray(np.where(u >= 0, upward, upward * np.exp(-(population - 1) * size)))


def _frequency_dependent(a: Floats, b: Floats, population: int) -> Floats:
    """Return the probability that one mutant takes over a population, if j mutants have the advantage a + b j [...]."""

    def exponent(j: Floats) -> Floats:
        """Return -Σ_{i<=j} (a + b i)."""
        return np.asarray(-j * (a + b * ((j + 1) / 2)))

    # The highest exponent is at an end, or beside the vertex of the parabola.
    vertex = np.floor(np.divide(-a, b, out=np.zeros_like(a), where=b != 0) - 0.5)
    ends = [exponent(np.clip(j, 0, population - 1)) for j in (vertex, vertex + 1, np.full_like(a, population - 1))]
    highest = np.maximum(np.maximum.reduce(ends), 0.0)
    alone = np.exp(-highest)
    total = alone.copy()
    term = np.empty_like(a)
    for j in range(1, population):  # in place: exp(exponent(j) - highest)
        np.multiply(b, (j + 1) / 2, out=term)
        term += a
        term *= -j
        term -= highest
        total += np.exp(term, out=term)
    return np.asarray(alone / total)


def stationary(rates: Floats) -> Floats:
    """Return the stationary distribution [S] of a Markov chain with these rates [S, S] between different states.

    The elimination of Grassmann, Taksar and Heyman (1985, https://doi.org/10.1287/opre.33.5.1107) subtracts nothing, so
    that the smallest probabilities are as accurate as the largest.

    Raises ZeroDivisionError if the chain never leaves one of its parts.
    """
    rates = rates.copy()
    size = len(rates)
    for state in range(size - 1, 0, -1):
        leaving = rates[state, :state].sum()
        if not leaving:
            raise ZeroDivisionError("the chain never leaves one of its parts")
        rates[:state, state] /= leaving
        rates[:state, :state] += np.outer(rates[:state, state], rates[state, :state])
    share = np.ones(size)
    for state in range(1, size):
        share[state] = share[:state] @ rates[:state, state]
    return np.asarray(share / share.sum())


def _shares(
    moves: Bools,
    gain: Floats,
    taking_over: Callable[[float], Floats],
    largest: float,
    alpha: float | None,
    inf_alpha_eps: float,
) -> Floats:
    """Return the shares of time [S], by what a mutant gains and how likely it takes over, [S, S] where it `moves`."""
    if alpha == math.inf:
        equal = np.abs(gain) <= tables.ROUNDING * largest
        limit = np.where(equal, 0.5, np.where(gain > 0, 1 - inf_alpha_eps, inf_alpha_eps))
        return stationary(np.where(moves, limit, 0.0))
    if alpha is not None:
        return stationary(np.where(moves, taking_over(alpha), 0.0))
    alpha = WEAKEST / (largest or 1.0)
    share = stationary(np.where(moves, taking_over(alpha), 0.0))
    for _ in range(DOUBLINGS):
        alpha *= 2
        try:
            after = stationary(np.where(moves, taking_over(alpha), 0.0))
        except ZeroDivisionError:  # takeovers became too rare for float64: there is more than one sink
            break
        change, share = float(np.abs(after - share).max()), after
        if change <= SETTLED:
            break
    return share


def _one_player_moves(payoffs: Payoffs) -> tuple[Bools, Floats]:
    """Return which profiles [S, S] differ in one player's strategy, and what that player gains by the change."""
    shape = payoffs[0].shape
    profiles = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape))  # [N, S]
    differs = profiles[:, :, None] != profiles[:, None, :]  # [N, S, S]
    moves = differs.sum(0) == 1
    gain = np.zeros(moves.shape)
    for tensor, changed in zip(payoffs, differs, strict=True):
        earned = tensor.ravel()
        gain += np.where(moves & changed, earned[None, :] - earned[:, None], 0.0)
    return moves, gain
