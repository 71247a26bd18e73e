"""Matrix games: any payoff tensor, played once or repeatedly, with or without memory of the last joint action.

matrix(game=climbing)                                   Claus and Boutilier 1998, a team of two
matrix(game=penalty, k=-50, steps=25)                   ... and its 25 steps in EPyMARL (Papoudakis et al. 2021)
matrix(game=nxn, n=5)                                   the QTRAN paper's game (Son et al. 2019), n = 3 there
matrix(game=lever)                                      Hu et al. 2020, "Other-Play": strangers agree on the odd lever
matrix(game=prisoners_dilemma, steps=50, memory=true, truncate=true)      as opponent shaping plays it
matrix(team=[[1, 0], [0, 2]])                           one payoff tensor [A_0, ..., A_N-1] for all players
matrix(payoffs=[[[3, 0], [5, 1]], [[3, 5], [0, 1]]])    a tensor for each player [N, A_0, ..., A_N-1]
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions, Views
from games.batch import Batch
from games.contract import Array, Discrete, Payoff, Spec
from games.errors import nearest

TEAMS = {
    "climbing": [[11, -30, 0], [-30, 7, 6], [0, 0, 5]],
    "coordination": [[1, 0], [0, 1]],
    "lever": np.diag([1.0] * 9 + [0.9]).tolist(),  # ten levers; both pull the same one, or get nothing
}
# The row player's payoffs in symmetric games; the column player's are the transpose.
SYMMETRIC = {
    "prisoners_dilemma": [[-1, -3], [0, -2]],  # cooperate, defect
    "chicken": [[0, -1], [1, -10]],  # swerve, drive on
    "stag_hunt": [[4, 0], [3, 2]],  # stag, hare
}
ZERO_SUM = {
    "matching_pennies": [[1, -1], [-1, 1]],
    "rock_paper_scissors": [[0, -1, 1], [1, 0, -1], [-1, 1, 0]],
}
BIMATRIX = {
    "battle_of_the_sexes": [[[3, 0], [0, 2]], [[2, 0], [0, 3]]],
}
GAMES = sorted([*TEAMS, *SYMMETRIC, *ZERO_SUM, *BIMATRIX, "penalty", "nxn"])


class Matrix(Batch):
    """All players choose at once and are paid by the joint action, `steps` times.

    With `memory` a player sees the last joint action as a one-hot, its own action first (entry 0: none yet): in the
    prisoner's dilemma the entries are start, CC, CD, DC, DD for both players. Without, it sees a constant.
    With `truncate` the game never ends by its rules, and the recording is truncated after `steps`.
    A game that is played once hides nothing but the others' choices, and has positions to clone.
    Raises ValueError for an unknown game, a tensor of the wrong shape, and steps < 1.
    """

    def __init__(
        self,
        num_envs: int,
        game: str | None = None,
        payoffs: Any = None,
        team: Any = None,
        steps: int = 1,
        memory: bool = False,
        truncate: bool = False,
        k: float = -100,
        n: int = 3,
    ) -> None:
        if sum(given is not None for given in (game, payoffs, team)) != 1:
            raise ValueError(f"expected one of game, payoffs and team; games are {', '.join(GAMES)}")
        if steps < 1:
            raise ValueError(f"expected at least one step, got steps={steps}")
        tensor = named(game, k, n) if game else _tensor(payoffs, team)
        counts = tensor.shape[1:]
        joint = int(np.prod(counts))
        once = steps == 1 and not truncate
        self.payoffs = tensor  # [N, A_0, ..., A_N-1]
        self.memory = memory
        self._pays = np.ascontiguousarray(tensor.reshape(len(counts), joint).T, np.float32)  # [joint, N]
        self._strides = _strides(counts)
        self._views = np.eye(1 + joint if memory else 1, dtype=np.float32)
        spec = Spec(
            name=f"matrix({game})" if game else "matrix",
            num_players=len(counts),
            observation=Array((len(self._views),)),
            action=Discrete(max(counts)),
            payoff=_payoff(tensor),
            turns="simultaneous",
            perfect_information=once,
            chance=False,
            searchable=once,
            step_rewards=steps > 1,
            global_state_size=len(self._views),
            max_length=steps,
            return_bounds=(float(steps * tensor.min()), float(steps * tensor.max())),
            action_sizes=() if len(set(counts)) == 1 else counts,
            interchangeable=_interchangeable(tensor),
        )
        super().__init__(spec, num_envs, steps, truncate)
        self.legal[:] = np.arange(max(counts)) < np.array(counts)[:, None]
        self._never = np.zeros(num_envs, bool)
        self._joint = np.zeros(num_envs, np.int64)  # [E] the number of the last joint action
        self._last = np.zeros((num_envs, len(counts)), np.int64)  # [E, N] the index of each player's one-hot

    def open(self, envs: NDArray[np.int64]) -> None:
        self._last[envs] = 0

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        joint = actions @ self._strides  # [E, N] the joint action's number for each player, its own action first
        self._joint = joint[:, 0]
        np.take(self._pays, self._joint, axis=0, out=self.timestep.reward)
        if self.memory:
            np.add(joint, 1, out=self._last)
        return self._never.copy()

    def look(self) -> None:
        np.take(self._views, self._last, axis=0, out=self.timestep.obs, mode="clip")
        self.timestep.global_state[:] = self.timestep.obs[:, 0]

    def initial_state(self) -> "MatrixState":
        return MatrixState(self, ())

    def states(self, where: NDArray[np.int64]) -> list["MatrixState"]:
        """Return the positions of the chosen environments of a game that is played once."""
        over = self.timestep.last
        played = np.stack(np.unravel_index(self._joint, self.payoffs.shape[1:]), 1).tolist()
        return [MatrixState(self, tuple(played[env]) if over[env] else ()) for env in where.tolist()]

    def shown(self, played: tuple[int, ...], player: int) -> Views:
        """Return what a player sees after a joint action, or before any."""
        joint = int(self._strides[:, player] @ played) + 1 if played and self.memory else 0
        view: Views = self._views[joint]
        return view

    def render(self, env: int) -> str:
        if not self.memory or self._last[env, 0] == 0:
            return "nothing played yet" if self.memory else "no memory"
        return f"played last: {[int(a) for a in np.unravel_index(self._last[env, 0] - 1, self.payoffs.shape[1:])]}"


class MatrixState:
    """A position of a game that is played once: nothing was chosen, or every player has chosen."""

    __slots__ = ("_game", "_played")

    def __init__(self, game: Matrix, played: tuple[int, ...]) -> None:
        self._game, self._played = game, played

    def clone(self) -> "MatrixState":
        return MatrixState(self._game, self._played)

    def acting(self) -> tuple[int, ...]:
        return () if self._played else tuple(range(self._game.spec.num_players))

    def legal_actions(self, player: int) -> range:
        return range(self._game.payoffs.shape[1 + player])

    def chance_outcomes(self) -> tuple[tuple[int, float], ...]:
        return ()

    def apply(self, actions: Sequence[int]) -> None:
        self._played = tuple(int(action) for action in actions)

    def apply_chance(self, outcome: int) -> None:
        raise ValueError("a matrix game has no chance")

    def is_terminal(self) -> bool:
        return bool(self._played)

    def returns(self) -> list[float]:
        if not self._played:
            return [0.0] * self._game.spec.num_players
        return [float(payoffs[self._played]) for payoffs in self._game.payoffs]

    def observe(self, player: int, out: Views) -> None:
        out[:] = self._game.shown(self._played, player)

    def key(self) -> tuple[int, ...]:
        return self._played

    def __str__(self) -> str:
        return f"played: {list(self._played)}" if self._played else "nothing played yet"


def named(game: str, k: float = -100, n: int = 3) -> NDArray[np.float64]:
    """Return the payoffs [N, A, A] of a game by name: `k` is penalty's, `n` is nxn's; ValueError for another name."""
    if game == "penalty":
        return _tensor(None, [[k, 0, 10], [0, 2, 0], [10, 0, k]])
    if game == "nxn":
        if n < 2:
            raise ValueError(f"expected at least two actions, got n={n}")
        pays = np.zeros((n, n))
        pays[0], pays[:, 0], pays[0, 0] = -12, -12, 8
        return _tensor(None, pays)
    if game in TEAMS:
        return _tensor(None, TEAMS[game])
    if game in SYMMETRIC:
        return _tensor([SYMMETRIC[game], np.transpose(SYMMETRIC[game])], None)
    if game in ZERO_SUM:
        return _tensor([ZERO_SUM[game], np.negative(ZERO_SUM[game])], None)
    if game in BIMATRIX:
        return _tensor(BIMATRIX[game], None)
    raise ValueError(f"expected one of {', '.join(GAMES)}, got game={game}{nearest(game, GAMES)}")


def _tensor(payoffs: Any, team: Any) -> NDArray[np.float64]:
    """Return payoffs [N, A_0, ..., A_N-1]; a team's tensor is repeated for each player."""
    tensor = np.asarray(team if payoffs is None else payoffs, np.float64)
    if payoffs is None:
        tensor = np.stack([tensor] * max(1, tensor.ndim))
    if tensor.ndim < 2 or len(tensor) != tensor.ndim - 1 or 0 in tensor.shape:
        raise ValueError(f"expected payoffs [N, A_0, ..., A_N-1] or team [A_0, ..., A_N-1], got shape {tensor.shape}")
    if not np.isfinite(tensor).all():
        raise ValueError("expected finite payoffs")
    return tensor


def _payoff(tensor: NDArray[np.float64]) -> Payoff:
    if (tensor == tensor[0]).all():
        return "team"
    return "zero_sum" if np.ptp(tensor.sum(0)) < 1e-9 else "general_sum"


def _interchangeable(tensor: NDArray[np.float64]) -> bool:
    """Whether two players earn the same by exchanged actions."""
    return len(tensor) == 2 and np.array_equal(tensor[0], tensor[1].T)


def _strides(counts: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the matrix [N, N] whose column p numbers joint actions with player p's own action first."""
    players = len(counts)
    strides = np.zeros((players, players), np.int64)
    for own in range(players):
        order = [own, *(p for p in range(players) if p != own)]
        stride = 1
        for player in reversed(order):
            strides[player, own] = stride
            stride *= counts[player]
    return strides
