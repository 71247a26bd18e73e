"""The model of Plackett & Luce of a game's ranking of N players, with seat effects η and ties of Davidson and Luce.

An agent i in seat s has the worth αᵢₛ = exp(θᵢ + ηₛ). The best of the players A are chosen, then the best of those who
are left, and so on. They are the set S ⊆ A with probability

    P(S of A) = w(S) / Σ_{T ⊆ A, |T| ≤ D} w(T)        w(S) = δ_|S| (Π_{i∈S} αᵢ)^{1/|S|}        δ₁ = 1

with D the largest number of players that ever shared a place: without ties it is Plackett 1975, and with two players
Davidson's model with ν = δ₂. (Firth, Kosmidis & Turner 2019, https://arxiv.org/abs/1909.07123; Luce 1959.)

A forfeited game is a partial ranking: those who forfeited it, O, are last, and the order of the others, B, is not
known. Its probability is the sum over all orders without ties. Places are those of arrivals at rates α, so with
α_T = Σ_{i∈T} αᵢ

    P(O last) = Σ_{S ⊆ B} (−1)^|S| α_O / (α_O + α_S) = ∫ eˣ exp(−eˣ) Π_{j∈B} [1 − exp(−eˣ αⱼ/α_O)] dx

The terms of the sum cancel where O is strong. The integrand is positive; the trapezoidal rule on it converges
exponentially (Trefethen & Weideman 2014, https://doi.org/10.1137/130932132).

Both are concave in (θ, η, ln δ): choices are multinomial logits, and a partial ranking is the probability of a convex
set under a density with a concave logarithm (Prékopa 1973). Newton's method finds the maximum a posteriori under

    θᵢ ~ N(0, σ₀²)        ηₛ ~ N(0, 2²/2)        ln δₖ ~ N(ln ½, 2²)

The seat effects then have the sum 0, and the difference of two of them the prior N(0, 2²).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from games.arrays import Bools, Floats, Ints
from games.errors import UserError
from tournaments.ratings import model
from tournaments.ratings.model import PRIOR_SD, BySeed, Lineage, Prior
from tournaments.records.results import Results, places, sum_by

MOST_PLAYERS = 10  # a choice among N players has up to 2^N sets
_BLOCK = 1 << 21  # numbers in an array of choices and sets
_MOST = 700.0  # exponentials beyond are no floats
_STEP = 0.25
_NODES = np.arange(-36.0, 4.0, _STEP)  # of the trapezoidal rule, whose relative error is below 1e-12


@dataclass(frozen=True, eq=False)
class Rankings:
    """Rankings that differ, and how many games had each; counts may be fractions."""

    agents: tuple[str, ...]
    seats: Ints  # [M, N] indices into `agents`
    place: Ints  # [M, N] as `places` says
    forfeited: Bools  # [M]
    count: Floats  # [M]

    def blocks(self) -> Iterator[tuple[slice, "Rankings"]]:
        """Yield the rankings a block at a time, so that what is derived from all of them needs little memory.

        The matrices of a block [M, N, N] have _BLOCK / 4 numbers, or as many as one of the agents [n, n].
        """
        size = max(1, max(_BLOCK // 4, len(self.agents) ** 2) // self.seats.shape[1] ** 2)
        for start in range(0, len(self.seats), size):
            rows = slice(start, start + size)
            yield (
                rows,
                replace(
                    self,
                    seats=self.seats[rows],
                    place=self.place[rows],
                    forfeited=self.forfeited[rows],
                    count=self.count[rows],
                ),
            )


def rankings(results: Results) -> tuple[Rankings, Ints]:
    """Return the rankings of games, and the number of each game's ranking [G].

    Raises UserError for more than MOST_PLAYERS players.
    """
    players = results.seats.shape[1]
    if players > MOST_PLAYERS:
        raise UserError(f"expected games of at most {MOST_PLAYERS} players to rate rankings, got {players} players")
    place, forfeited = places(results)
    columns = [*results.seats.T, *place.T, forfeited]
    order = np.lexsort(columns)
    new = np.zeros(len(order), bool)
    for column in columns:
        new[1:] |= np.diff(column[order].astype(np.int64)) != 0
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(new)
    first = order[np.flatnonzero(new | (np.arange(len(order)) == 0))]
    count = np.bincount(number, minlength=len(first)).astype(np.float64)
    seats = results.seats[first].reshape(-1, players)
    return Rankings(results.agents, seats, place[first], forfeited[first], count), number


@dataclass(frozen=True, eq=False)
class _Moments:
    """Log-likelihoods of rankings, or of parts of them, and their derivatives.

    They are in v = (the logarithms of the worths by seat, ln δ₂, ..., ln δ_D): V = N + D − 1 numbers for each ranking.
    """

    log: Floats  # [L]
    score: Floats  # [L, V]
    information: Floats  # [L, V, V] the negative Hessian

    def put(self, rows: Ints, part: "_Moments") -> None:
        """Write the derivatives of some rankings; where they have no ln δ, these are 0."""
        width = part.score.shape[1]
        self.log[rows], self.score[rows, :width], self.information[rows, :width, :width] = (
            part.log,
            part.score,
            part.information,
        )


@dataclass(frozen=True, eq=False)
class _Sets:
    """The sets S of N seats with at most D members."""

    member: Bools  # [K, N]

    @classmethod
    def of(cls, players: int, most: int) -> "_Sets":
        member = (np.arange(1, 1 << players)[:, None] >> np.arange(players)) & 1 > 0
        return cls(member[member.sum(1) <= most])

    @cached_property
    def bits(self) -> Ints:
        return _bits(self.member)

    @cached_property
    def weights(self) -> Floats:
        """The weights of v in ln w(S) [K, V]."""
        size = self.member.sum(1, keepdims=True)
        return np.concatenate([self.member / size, size == np.arange(2, size.max() + 1)], 1)

    @cached_property
    def squares(self) -> Floats:
        """The products of the weights [K, V · V]."""
        return (self.weights[:, :, None] * self.weights[:, None, :]).reshape(len(self.weights), -1)

    def within(self, bits: Ints) -> Bools:
        """Return which sets are subsets of others [L, K], which are given by their bits [L]."""
        return np.asarray((self.bits & ~bits[:, None]) == 0)

    def moments(self, p: Floats, chosen: Ints) -> tuple[Floats, Floats]:
        """Return the weights of the chosen sets [L] less the mean [L, V], and their covariance [L, V, V] under p."""
        mean = p @ self.weights
        square = (p @ self.squares).reshape(*mean.shape, mean.shape[1])
        return self.weights[chosen] - mean, square - mean[:, :, None] * mean[:, None, :]


def _shared(place: Ints) -> Ints:
    """Return how many players share each place [M, N] of rankings that are given by places [M, N]."""
    return np.asarray((place[:, :, None] == np.arange(place.shape[1])).sum(1))


def _most_shared(of: Rankings) -> int:
    """Return the largest number of players that share a place of a ranking that is whole; at least 1."""
    return int(_shared(of.place[~of.forfeited]).max(initial=1))


def _bits(member: Bools) -> Ints:
    """Return sets of seats [..., N] as whole numbers [...]."""
    return np.asarray(member @ (1 << np.arange(member.shape[-1])))


@dataclass(frozen=True, eq=False)
class _Choices:
    """Rankings as choices: of the players who are left, a set of the best."""

    sets: _Sets
    ranking: Ints  # [L] the number of the ranking, ascending
    left: Ints  # [L] the bits of the players who are left
    chosen: Ints  # [L] the number of the set

    @classmethod
    def of(cls, place: Ints, sets: _Sets) -> "_Choices":
        """Return the choices of rankings that are given by places [M, N]."""
        players = place.shape[1]
        size = _shared(place)
        number = np.full(1 << players, -1)
        number[sets.bits] = np.arange(len(sets.bits))
        ranking, stage = np.nonzero((size > 0) & (size[:, ::-1].cumsum(1)[:, ::-1] > 1))
        at = place[ranking]
        left, chosen = _bits(at >= stage[:, None]), number[_bits(at == stage[:, None])]
        # 16 bits hold the sets of MOST_PLAYERS seats.
        return cls(sets, ranking.astype(np.int32), left.astype(np.int16), chosen.astype(np.int16))

    def moments(self, v: Floats, core: Ints | None = None) -> _Moments:
        """Return the derivatives of rankings at v [M, V].

        With the agents' cores by seat [M, N], those of each choice within its class: sets of players of one core are a
        class, and so are the sets of players of several cores. What is missing are the choices between classes.
        """
        m, width = v.shape
        log, score, information = np.zeros(m), np.zeros((m, width)), np.zeros((m, width, width))
        size = max(1, _BLOCK // (len(self.sets.bits) * v.shape[1]))
        for start in range(0, m, size):
            block = slice(*np.searchsorted(self.ranking, [start, start + size]))
            ranking, chosen = self.ranking[block], self.chosen[block]
            u = v[ranking] @ self.sets.weights.T
            u[~self.sets.within(self.left[block])] = -np.inf
            top = u.max(1, keepdims=True)
            p = np.exp(u - top)
            total = p.sum(1, keepdims=True)
            of_choice = u[np.arange(len(u)), chosen] - (top + np.log(total))[:, 0]
            p /= total
            moved, spread = self.sets.moments(p, chosen) if core is None else self._by_class(p, chosen, core[ranking])
            first = np.flatnonzero(np.diff(ranking, prepend=-1))
            if len(first):
                log[ranking[first]] = np.add.reduceat(of_choice, first)
                score[ranking[first]] = np.add.reduceat(moved, first)
                information[ranking[first]] = np.add.reduceat(spread, first)
        return _Moments(log, score, information)

    def _by_class(self, p: Floats, chosen: Ints, core: Ints) -> tuple[Floats, Floats]:
        """Return what `_Sets.moments` does, within the class of the chosen sets, and in the mean over classes."""
        width = self.sets.weights.shape[1]
        moved, spread = np.zeros((len(p), width)), np.zeros((len(p), width, width))
        rest = np.ones(p.shape, bool)
        for inside in self._classes(core, rest):
            share = (p * inside).sum(1)
            own, within = self.sets.moments(p * inside / np.where(share > 0, share, 1)[:, None], chosen)
            moved += own * inside[np.arange(len(p)), chosen, None]
            spread += within * share[:, None, None]
        return moved, spread

    def _classes(self, core: Ints, rest: Bools) -> Iterator[Bools]:
        """Yield the sets of each class [L, K], for the cores of the players by seat [L, N]; the last are the `rest`."""
        for seat in range(core.shape[1]):
            same = _bits(core == core[:, seat, None])
            inside = self.sets.within(same) & (same & ((1 << seat) - 1) == 0)[:, None]
            rest &= ~inside
            yield inside
        yield rest


def forfeits(worth: Floats, last: Bools) -> _Moments:
    """Return the derivatives of log P(O last), by the logarithms of worths [L, N] and who is in O [L, N].

    In c_j = ln αⱼ/α_O the derivatives are means over nodes: with z = eˣ αⱼ/α_O and r = z / (eᶻ − 1),

        d/dc ln(1 − e⁻ᶻ) = r        d²/dc² ln(1 − e⁻ᶻ) = r (1 − z − r)
    """
    all_last = logsumexp(worth, 1, b=last, keepdims=True)  # [L, 1] ln α_O
    part = np.exp(np.where(last, worth - all_last, -np.inf))  # [L, N] each offender's share of α_O
    others = ~last
    c = (worth - all_last)[:, None, :]
    z = np.exp(np.clip(_NODES[:, None] + c, -_MOST, _MOST))  # [L, Q, N]
    before = -np.expm1(-z)
    r = others[:, None, :] * z * np.exp(-z) / before
    log = _NODES - np.exp(_NODES) + (others[:, None, :] * np.log(before)).sum(2)  # [L, Q]
    total = logsumexp(log, 1, keepdims=True)
    weight = np.exp(log - total)[:, None, :]
    slope = (weight @ r)[:, 0]  # [L, N] by c, and below the second derivatives
    spread = (r * weight.transpose(0, 2, 1)).transpose(0, 2, 1) @ r - slope[:, :, None] * slope[:, None, :]
    spread += _diagonal((weight @ (r * (1 - z - r)))[:, 0])
    by_worth = _diagonal(others) - others[:, :, None] * part[:, None, :]  # dc/dv
    pull = slope.sum(1)
    information = pull[:, None, None] * (_diagonal(part) - part[:, :, None] * part[:, None, :])
    information -= by_worth.transpose(0, 2, 1) @ spread @ by_worth
    return _Moments(total[:, 0] + math.log(_STEP), slope - pull[:, None] * part, information)


def _diagonal(rows: NDArray[Any]) -> Floats:
    """Return diagonal matrices [L, N, N] by their diagonals [L, N]."""
    return np.asarray(rows[:, :, None] * np.eye(rows.shape[1]))


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """The likelihood of rankings, in the parameters x = (θ [n], η [N], ln δ [D − 1])."""

    of: Rankings
    choices: _Choices
    whole: Ints  # the rankings without forfeits
    partial: Ints  # those that say who was last

    @classmethod
    def make(cls, of: Rankings, sets: _Sets | None = None) -> "_Likelihood":
        """Return the likelihood; with the `sets` of more rankings, where these are some of them."""
        whole = np.flatnonzero(~of.forfeited)
        sets = sets or _Sets.of(of.seats.shape[1], _most_shared(of))
        choices = _Choices.of(of.place[whole], sets)
        return cls(of, choices, whole, np.flatnonzero(of.forfeited & of.place.any(1)))

    @property
    def players(self) -> int:
        return int(self.of.seats.shape[1])

    @property
    def ties(self) -> int:
        """D − 1: how many prevalences of ties there are."""
        return int(self.choices.sets.weights.shape[1]) - self.players

    def moments(self, x: Floats, core: Ints | None = None) -> _Moments:
        """Return the derivatives of all rankings [M] at x [F].

        With the agents' cores [n], those of the comparisons within cores (`_Choices.moments`). A forfeited game is one
        if all of its players are of one core.
        """
        of, n = self.of, len(self.of.agents)
        ln_delta = x[n + self.players :]
        worth = x[of.seats] + x[n : n + self.players]
        v = np.concatenate([worth, np.broadcast_to(ln_delta, (len(worth), len(ln_delta)))], 1)
        m, width = v.shape
        found = _Moments(np.zeros(m), np.zeros((m, width)), np.zeros((m, width, width)))
        cores = None if core is None else core[of.seats]
        found.put(self.whole, self.choices.moments(v[self.whole], None if cores is None else cores[self.whole]))
        partial = self.partial
        if cores is not None:
            partial = partial[(cores[partial] == cores[partial, :1]).all(1)]
        size = max(1, _BLOCK // (len(_NODES) * self.players))
        for start in range(0, len(partial), size):
            rows = partial[start : start + size]
            found.put(rows, forfeits(worth[rows], of.place[rows] > 0))
        return found

    def gradient(self, score: Floats) -> Floats:
        """Return the sum of the rankings' scores [M, V], in x [F]."""
        agents = sum_by(self.of.seats.ravel(), score[:, : self.players].ravel(), len(self.of.agents))
        return np.concatenate([agents, score.sum(0)])

    def hessian(self, information: Floats) -> Floats:
        """Return the sum of the rankings' information [M, V, V], in x [F, F]."""
        n, seats, players = len(self.of.agents), self.of.seats, self.players
        place = seats[:, :, None] * n + seats[:, None, :]
        agents = sum_by(place.ravel(), information[:, :players, :players].ravel(), n * n).reshape(n, n)
        seated = csr_matrix((np.ones(seats.size), (seats.ravel(), np.arange(seats.size))), (n, seats.size))
        shared = seated @ information[:, :players].reshape(seats.size, information.shape[2])
        return np.block([[agents, shared], [shared.T, information.sum(0)]])

    def sums(self, x: Floats) -> "_Sums":
        """Return the sums of the rankings' derivatives at x [F], each as often as games had it."""
        found, count = self.moments(x), self.of.count
        return _Sums(
            float(count @ found.log),
            self.gradient(count[:, None] * found.score),
            self.hessian(count[:, None, None] * found.information),
        )


@dataclass(frozen=True, eq=False)
class _Sums:
    """The log-likelihood of all games, its gradient [F], and its negative Hessian [F, F]."""

    log: float
    gradient: Floats
    information: Floats

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.log + other.log, self.gradient + other.gradient, self.information + other.information)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The likelihood of all rankings, a block of them at a time."""

    blocks: list[tuple[slice, _Likelihood]]  # the rows, and the likelihood of these rankings

    @classmethod
    def of(cls, of: Rankings) -> "_Blocks":
        found = list(of.blocks()) or [(slice(0, 0), of)]
        sets = _Sets.of(of.seats.shape[1], max(_most_shared(some) for _, some in found))
        return cls([(rows, _Likelihood.make(some, sets)) for rows, some in found])

    @property
    def ties(self) -> int:
        """D − 1: how many prevalences of ties there are."""
        return self.blocks[0][1].ties

    def sums(self, x: Floats) -> _Sums:
        """Return the sums of all rankings' derivatives at x [F]."""
        (_, first), *others = self.blocks
        return sum((block.sums(x) for _, block in others), first.sums(x))


@dataclass(frozen=True, eq=False)
class Fit(model.Fit):
    """The model's parameters x = (θ, η, ln δ): n agents, N seats, and D − 1 numbers of players that share a place."""

    eta: Floats  # [N] with sum 0
    delta: Floats  # [D − 1] δ₂, ..., δ_D
    of: Rankings
    ranking: Ints  # [G] the number of each game's ranking

    @property
    def nu(self) -> float:
        return float(self.delta[0]) if len(self.delta) else 0.0

    @property
    def flatness(self) -> float:
        return 1 / (4 * _slope(len(self.eta), np.append(1.0, self.delta)))

    @property
    def draw_rate(self) -> float:
        drawn, compared = self._compared[2:]
        return float(drawn / max(compared.sum(), 1))

    @property
    def seat_weights(self) -> Floats:
        n, players = len(self.theta), len(self.eta)
        weights = np.zeros((players, len(self.inverse)))
        weights[:, n : n + players] = (players * np.eye(players) - 1) / max(players - 1, 1)
        return weights

    @property
    def seat_effects(self) -> Floats:
        n = len(self.theta)
        return np.asarray(self.seat_weights[:, n : n + len(self.eta)] @ self.eta)

    def scores(self) -> tuple[Floats, Floats]:
        """Return each agent's games and mean score [n], over the others of its games with which it was compared.

        A game in which an agent holds several seats is one game, in which its copies are not compared.
        """
        games, points, _, compared = self._compared
        return games, np.divide(points, compared, out=np.full(len(games), np.nan), where=compared > 0)

    @cached_property
    def _compared(self) -> tuple[Floats, Floats, float, Floats]:
        """Each agent's games and points [n], all players' draws, and how often each agent was compared [n]."""
        n, drawn_by_all = len(self.theta), 0.0
        games, points, compared = np.zeros(n), np.zeros(n), np.zeros(n)
        for _, of in self.of.blocks():
            seats, count = of.seats, of.count[:, None]
            same = seats[:, :, None] == seats[:, None, :]
            ahead = np.sign(of.place[:, None, :] - of.place[:, :, None])  # [M, N, N] 1: the row is before the column
            known = ~same & ~(of.forfeited[:, None, None] & (ahead == 0))
            won, drawn = ((known & (ahead == sign)).sum(2) for sign in (1, 0))  # [M, N] over the other players
            games += sum_by(seats.ravel(), (count / same.sum(2)).ravel(), n)
            points += sum_by(seats.ravel(), (count * (won + drawn / 2)).ravel(), n)
            compared += sum_by(seats.ravel(), (count * known.sum(2)).ravel(), n)
            drawn_by_all += float((count * drawn).sum())
        return games, points, drawn_by_all, compared

    def _moments(self, one_sided: bool = False) -> Iterator[tuple[slice, _Likelihood, _Moments, _Moments]]:
        """Yield the derivatives of blocks of rankings, and those of the comparisons within cores alone.

        With `one_sided`, only of blocks in which the two differ.
        """
        x = np.concatenate([self.theta, self.eta, np.log(self.delta)])
        for rows, likelihood in _Blocks.of(self.of).blocks:
            seats = likelihood.of.seats
            mixed = (self.core[seats] != self.core[seats[:, :1]]).any()
            if mixed or not one_sided:
                whole = likelihood.moments(x)
                yield rows, likelihood, whole, likelihood.moments(x, self.core) if mixed else whole

    def by_seed(self, results: Results) -> tuple[BySeed, BySeed]:
        """Return each seed's scores and information, as `model.Fit` says; `results` are those of the fit."""
        n, players, of_game = len(self.theta), len(self.eta), len(self.inverse) - len(self.theta)
        seed, seeds = model.numbered(results.seeds)
        order = np.argsort(self.ranking, kind="stable")  # the games, by the numbers of their rankings
        ends = np.searchsorted(self.ranking[order], np.arange(len(self.of.seats) + 1))
        agents = csr_matrix((seeds, n), dtype=complex)
        score, known = np.zeros((seeds, of_game)), np.zeros((seeds, of_game))
        for rows, likelihood, whole, mutual in self._moments():
            seats = likelihood.of.seats
            games = order[ends[rows.start] : ends[min(rows.stop, len(self.of.seats))]]
            number, seed_of = self.ranking[games] - rows.start, seed[games]
            same = seats[:, :, None] == seats[:, None, :]
            own = (whole.information[:, :players, :players] * same).sum(2)  # copies of an agent share a strength
            both = (mutual.score[:, :players] + 1j * own)[number]
            agents += model.summed(np.repeat(seed_of, players), seats[number].ravel(), both.ravel(), (seeds, n))
            by_seed = csr_matrix((np.ones(len(games)), (seed_of, number)), (seeds, len(seats)))
            score += by_seed @ mutual.score
            known += by_seed @ whole.information.diagonal(axis1=1, axis2=2)
        return BySeed.pair(agents, score, known)

    def one_sided(self) -> Floats:
        found = np.zeros_like(self.inverse)
        for _, likelihood, whole, mutual in self._moments(one_sided=True):
            count = likelihood.of.count[:, None, None]
            found += likelihood.hessian(count * (whole.information - mutual.information))
        return found


def _slope(players: int, delta: Floats) -> float:
    """Return by how much the expected score of one of N equals against another grows with its strength; δ₁ is 1.

    A win counts 1, a shared place ½. With Z_m = Σ_k C(m, k) δ_k, by the first choice among m players

        s_m = Σ_k δ_k [C(m − 2, k − 1) / 2k + C(m − 2, k) s_{m−k}] / Z_m        s₂ = 1 / (2 (2 + δ₂))
    """
    slope = [0.0, 0.0]
    for m in range(2, players + 1):
        sizes = range(1, min(m, len(delta)) + 1)
        total = sum(math.comb(m, k) * delta[k - 1] for k in sizes)
        first = sum(
            delta[k - 1]
            * (math.comb(m - 2, k - 1) / (2 * k) + (math.comb(m - 2, k) * slope[m - k] if k <= m - 2 else 0))
            for k in sizes
        )
        slope.append(float(first / total))
    return slope[players]


def fit(of: Rankings, ranking: Ints, prior_sd: float | None = PRIOR_SD, lineage: Lineage | None = None) -> Fit:
    """Find the maximum a posteriori; with `prior_sd=None` the maximum of the likelihood, without any prior.

    `ranking` [G] says which of the rankings each game had. Raises UserError where the maximum of the likelihood is
    infinite.
    """
    n, players, likelihood = len(of.agents), of.seats.shape[1], _Blocks.of(of)
    prior = Prior.of(prior_sd, of.agents, players, likelihood.ties, lineage)
    part, core = _components(of)
    gauge = np.zeros((len(prior.centre),) * 2)  # as in davidson.py, and for the seat effects
    if prior_sd is None:
        model.require_bounded(part, core)
        gauge[:n, :n] = part[:, None] == part[None, :]
        gauge[n : n + players, n : n + players] = 1

    def evaluate(x: Floats) -> tuple[_Sums, float]:
        found = likelihood.sums(x)
        return found, found.log - prior.loss(x)

    def derivatives(x: Floats, found: _Sums) -> tuple[Floats, Floats]:
        return found.gradient - prior.pull(x), found.information + prior.matrix + gauge

    x, found, inverse = model.maximise(prior.centre, evaluate, derivatives)
    theta, eta, ln_delta = np.split(x, [n, n + players])
    return Fit(theta, found.log, prior, part, core, inverse, eta, np.exp(ln_delta), of, ranking)


def _components(of: Rankings) -> tuple[Ints, Ints]:
    n = len(of.agents)
    scored = csr_matrix((n, n))
    for _, some in of.blocks():
        before = some.place[:, :, None] <= some.place[:, None, :]
        before &= ~(some.forfeited[:, None, None] & (some.place[:, :, None] == some.place[:, None, :]))
        game, ahead, behind = np.nonzero(before & (some.count > 0)[:, None, None])
        scored += csr_matrix((np.ones(len(game)), (some.seats[game, ahead], some.seats[game, behind])), (n, n))
    return model.components(of.agents, scored)
