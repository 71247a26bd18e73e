"""Payoff tensors, and what a profile of strategies earns and gives away.

A game in normal form is one tensor for each player: `payoffs[p][a_0, ..., a_{N-1}]` is what player p earns if every
player q plays its strategy a_q. With x_q a distribution over the strategies of player q, and x all of them,

    g_p(x)[a] = u_p(a, x_-p)                 the gains of player p: what each of its strategies earns
    u_p(x)    = x_p · g_p(x)                 its value
    r_p(x)    = max_a g_p(x)[a] - u_p(x)     its regret
    NashConv  = Σ_p r_p(x)                   0 at an equilibrium (Lanctot et al. 2017, arXiv:1711.00832)
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from games.arrays import Floats

Payoffs: TypeAlias = tuple[Floats, ...]  # [A_0, ..., A_{N-1}] for each player
Strategies: TypeAlias = tuple[Floats, ...]  # [A_p] for each player: a distribution over its strategies

ROUNDING = 1e-9  # as a share of the payoffs' range: what differs by less is equal
NOISE = 1e-12  # as a share of the largest payoff: a range that float64 sums of equal payoffs may have


def checked(payoffs: Sequence[Floats]) -> Payoffs:
    """Return payoffs as float64 arrays.

    Raises ValueError unless there is one finite tensor for each player, all of one shape with an axis for each player.
    """
    tensors = tuple(np.asarray(tensor, np.float64) for tensor in payoffs)
    shapes = {tensor.shape for tensor in tensors}
    if len(shapes) != 1 or tensors[0].ndim != len(tensors) or not tensors[0].size:
        raise ValueError(
            "expected one payoff tensor for each player, all of one shape with an axis for each player, "
            f"got shapes {', '.join(str(tensor.shape) for tensor in tensors) or 'of no player'}"
        )
    for player, tensor in enumerate(tensors):
        if not np.isfinite(tensor).all():
            cell = tuple(int(index) for index in np.argwhere(~np.isfinite(tensor))[0])
            raise ValueError(
                f"expected known payoffs, got {tensor[cell]} for player {player} at {cell}; play these strategies first"
            )
    return tensors


def spread(tensor: Floats) -> float:
    """Return the range of a player's payoffs: the highest minus the lowest; 0 if only rounding makes them differ."""
    width = float(tensor.max() - tensor.min())
    return width if width > NOISE * float(np.abs(tensor).max()) else 0.0


def scaled(payoffs: Payoffs) -> Payoffs:
    """Return payoffs scaled to [0, 1] for each player, which changes no equilibrium; constant payoffs become 0."""
    return tuple((tensor - tensor.min()) / (spread(tensor) or 1.0) for tensor in payoffs)


def uniform(payoffs: Payoffs) -> Strategies:
    """Return the profile in which every player plays all of its strategies with equal probability."""
    return tuple(np.full(size, 1 / size) for size in payoffs[0].shape)


def seen(tensor: Floats, strategies: Strategies, *players: int) -> Floats:
    """Return a tensor by the strategies of `players`, in their order, in expectation over those of the others."""
    for player in reversed(range(tensor.ndim)):
        if player not in players:
            tensor = np.moveaxis(tensor, player, -1) @ strategies[player]
    return tensor.transpose(np.argsort(np.argsort(players)))


def gains(payoffs: Payoffs, strategies: Strategies) -> Strategies:
    """Return what each strategy of each player earns against the others' strategies: [A_p] for each player."""
    return tuple(seen(tensor, strategies, player) for player, tensor in enumerate(payoffs))


def values(payoffs: Payoffs, strategies: Strategies) -> tuple[float, ...]:
    """Return what each player earns."""
    return tuple(float(x @ g) for x, g in zip(strategies, gains(payoffs, strategies), strict=True))


def regrets(payoffs: Sequence[Floats], strategies: Strategies) -> tuple[float, ...]:
    """Return what each player would gain by its best response, at least 0. Raises ValueError as `checked` does."""
    earned = gains(checked(payoffs), strategies)
    return tuple(float(np.maximum(g.max() - x @ g, 0.0)) for x, g in zip(strategies, earned, strict=True))


def nash_conv(payoffs: Sequence[Floats], strategies: Strategies) -> float:
    """Return the sum of the players' regrets."""
    return sum(regrets(payoffs, strategies))


def zero_sum(payoffs: Payoffs, method: str) -> Floats:
    """Return the payoffs [A_0, A_1] of the first player in a zero-sum game of two players.

    A constant sum is a zero sum after half of it is taken from each player. Raises ValueError for other games.
    """
    if len(payoffs) != 2:
        raise ValueError(
            f"expected a zero-sum game of two players for '{method}', got {len(payoffs)} players; use 'replicator'"
        )
    first, second = payoffs
    total = first + second
    if spread(total) > ROUNDING * max(spread(first), spread(second)):
        raise ValueError(
            f"expected a zero-sum game of two players for '{method}', got payoffs whose sum lies between "
            f"{total.min():.6g} and {total.max():.6g}; use 'replicator' or 'stochastic'"
        )
    return np.asarray((first - second) / 2)


def symmetric(payoffs: Payoffs) -> bool:
    """Whether both seats of a two-player game have the same strategies and the same payoffs."""
    if len(payoffs) != 2 or payoffs[0].shape[0] != payoffs[0].shape[1]:
        return False
    return bool(np.abs(payoffs[0] - payoffs[1].T).max() <= ROUNDING * spread(payoffs[0]))
