"""Simple spread of the particle environments (Lowe et al. 2017, https://arxiv.org/abs/1706.02275), as in mpe2 1.1.1.

N players on a plane are to cover N landmarks without collisions. They are discs, and push each other away when they
touch. At every step each player is paid

    -(1 - local_ratio) * (sum over landmarks of the distance to the nearest player) - local_ratio * (own collisions)

With `continuous_actions` an action is five numbers from 0 to 1, the shares of the five forces that act at once.

The game never ends by its rules; the recording is truncated after `horizon` steps. Steps equal those of the original
(https://github.com/Farama-Foundation/MPE2) up to the rounding of float64, except for players at the same point: there
the original divides by zero, and here nothing pushes them apart.
"""

from string import ascii_uppercase, digits

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.batch import Batch
from games.contract import Array, Box, Discrete, Spec
from games.drawing.colours import of_player
from games.drawing.plane import Body, plane
from games.drawing.svg import Drawing

Places = NDArray[np.complex128]  # x + iy

DT = 0.1  # seconds per step
DAMPING = 0.25  # share of the velocity lost per step
FORCE = 5.0 * np.array([0, -1, 1, -1j, 1j])  # [A] of the actions, on discs of mass 1
CONTACT = 0.15 + 0.15  # the distance of the centres of two discs that touch
CONTACT_FORCE = 100.0  # per unit of penetration
MARGIN = 1e-3  # the width over which the contact force sets in
REACH = CONTACT + 100 * MARGIN  # beyond this distance the contact force is below 1e-42


class Spread(Batch):
    """A player sees [6 * N]: its velocity and position, the landmarks and the other players relative to itself, zeros.

    The zeros [2 * (N - 1)] are the messages of the other players, which are always empty. The global state is all views
    [N * 6 * N]. Raises ValueError for arguments out of range.
    """

    ACTIONS = ("none", "left", "right", "down", "up")

    def __init__(
        self,
        num_envs: int,
        players: int = 3,
        local_ratio: float = 0.5,
        horizon: int = 25,
        continuous_actions: bool = False,
    ) -> None:
        if players < 1 or horizon < 1:
            raise ValueError(f"expected at least one player and one step, got players={players}, horizon={horizon}")
        if not 0 <= local_ratio <= 1:
            raise ValueError(f"expected a share from 0 to 1, got local_ratio={local_ratio}")
        spec = Spec(
            name="spread",
            num_players=players,
            observation=Array((6 * players,)),
            action=Box(5, 0.0, 1.0) if continuous_actions else Discrete(5),
            payoff="team" if local_ratio == 0 else "general_sum",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            global_state_size=6 * players * players,
            max_length=horizon,
        )
        super().__init__(spec, num_envs, horizon, truncate=True)
        self.local_ratio, self.continuous_actions = local_ratio, continuous_actions
        self.position = np.zeros((num_envs, players), np.complex128)  # [E, N]
        self.velocity = np.zeros((num_envs, players), np.complex128)  # [E, N] per second
        self.landmark = np.zeros((num_envs, players), np.complex128)  # [E, N]
        player = np.arange(players)
        self._others = np.array([player[player != p] for p in player])  # [N, N - 1]

    def open(self, envs: NDArray[np.int64]) -> None:
        places = 2 * self.draw(4 * self.spec.num_players, envs) - 1
        self.position[envs], self.landmark[envs] = np.split(places.view(np.complex128), 2, axis=1)
        self.velocity[envs] = 0

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        chosen = (actions * FORCE).sum(2) if self.continuous_actions else FORCE[actions]
        force = chosen + self._pushes()
        self.position += self.velocity * DT
        self.velocity = self.velocity * (1 - DAMPING) + force * DT
        uncovered = distances(self.landmark, self.position).min(2).sum(1)
        collisions = (distances(self.position, self.position) < CONTACT).sum(2) - 1  # without the player itself
        self.timestep.reward[:] = -(1 - self.local_ratio) * uncovered[:, None] - self.local_ratio * collisions
        return np.zeros(self.num_envs, bool)

    def _pushes(self) -> Places:
        """Return the contact forces on each player [E, N]."""
        apart = self.position[:, :, None] - self.position[:, None]  # [E, N, N]
        distance = abs(apart)
        touch = (distance < REACH) & (distance > 0)  # no player pushes itself
        apart, distance = apart[touch], distance[touch]
        penetration = MARGIN * np.logaddexp(0, (CONTACT - distance) / MARGIN)
        push = np.zeros(touch.shape, np.complex128)
        push[touch] = CONTACT_FORCE * apart / distance * penetration
        pushed: Places = push.sum(2)
        return pushed

    def look(self) -> None:
        obs, players = self.timestep.obs, self.spec.num_players
        here = self.position[:, :, None]
        view = obs.view(np.complex64)  # [E, N, 3 * N]
        view[:, :, 0] = self.velocity
        view[:, :, 1] = self.position
        view[:, :, 2 : 2 + players] = self.landmark[:, None] - here
        view[:, :, 2 + players : 1 + 2 * players] = self.position[:, self._others] - here
        self.timestep.global_state[:] = obs.reshape(self.num_envs, -1)

    def picture(self, env: int, player: int | None) -> Drawing:
        """Draw all places, which every player sees; points outside the square to 1.2 are drawn at its edge."""
        landmarks = [Body(at.real, at.imag, "faint", 0.05, hollow=True) for at in self.landmark[env].tolist()]
        players = [
            Body(at.real, at.imag, of_player(seat), CONTACT / 2, word=f"{seat}", framed=seat == player)
            for seat, at in enumerate(self.position[env].tolist())
        ]
        return plane([*players, *landmarks], 1.2, 1.2, "spread")

    def render(self, env: int) -> str:
        """Plot the square from -1 to 1; points outside are drawn at its edge."""
        plot = np.full((11, 21), ".")
        for places, names in ((self.landmark[env], digits[1:]), (self.position[env], ascii_uppercase)):
            row = np.clip(np.rint(5 - 5 * places.imag), 0, 10).astype(int)
            column = np.clip(np.rint(10 + 10 * places.real), 0, 20).astype(int)
            plot[row, column] = [names[k % len(names)] for k in range(len(places))]
        return "\n".join("".join(row) for row in plot)


def distances(a: Places, b: Places) -> NDArray[np.float64]:
    """Return the distance between each of `a` [E, N] and each of `b` [E, M]: [E, N, M]."""
    return np.abs(a[:, :, None] - b[:, None])
