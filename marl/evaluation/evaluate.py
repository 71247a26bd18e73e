"""Evaluation: an agent's return in each seat, against fixed opponents, over a fixed number of episodes.

In a game of team against team the agent holds all seats of a team.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from games.arrays import Floats
from games.contract import VecEnv
from games.keys import fold
from marl.agents.entrants import Entrant
from marl.base.intervals import of_pulls
from marl.rollout.loop import Episode, play_episodes


@dataclass(frozen=True)
class Evaluation:
    """The agent's return by the seat it held: the mean over episodes, and the half width of its 95 % interval."""

    episodes: int
    return_mean: list[float]  # [N]
    return_ci95: list[float]  # [N]
    length_mean: float  # steps an episode
    cut: int = 0  # episodes stopped after `cut_after` steps; they count with their return so far
    cut_after: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data, `cut` only if not 0; null for an interval of one seed."""
        data = asdict(self) | {"return_ci95": [ci95 if np.isfinite(ci95) else None for ci95 in self.return_ci95]}
        return data if self.cut else {key: value for key, value in data.items() if not key.startswith("cut")}

    def note(self, against: str) -> str:
        """Return a sentence about episodes that were cut, or an empty string."""
        if not self.cut:
            return ""
        return (
            f"{self.cut} of {self.episodes} episodes against {against} had not ended after {self.cut_after:,} steps, "
            "and count with what they had paid by then; max_steps sets another limit"
        )


def evaluate_entrant(
    venv: VecEnv,
    agent: Entrant,
    against: Entrant | None,
    *,
    seeds: int,
    key: int,
    opening_moves: int = 0,
    max_steps: int | None = None,
) -> Evaluation:
    """Play the episodes of `seeds` seeds and return the agent's mean returns.

    With an opponent, each seed is played from every seat, and the opponent holds all other seats; in a game of team
    against team, from every team, and the opponent holds the other teams. With `against` None the agent holds all
    seats. The first `opening_moves` steps are random, the same for all episodes of a seed. An episode is cut after
    `max_steps` (by default `most_steps` of the game). Raises RunFailed for an agent that fails or moves illegally.
    """
    played, own = _play(venv, agent, against, seeds, key, opening_moves, max_steps)
    cut = [episode.length for episode in played if episode.cut]
    half = of_pulls((own - own.mean(0)).T / seeds, np.full(own.shape[1], seeds))
    return Evaluation(
        episodes=len(played),
        return_mean=own.mean(0).round(6).tolist(),
        return_ci95=half.round(6).tolist(),
        length_mean=round(float(np.mean([episode.length for episode in played])), 6),
        cut=len(cut),
        cut_after=max(cut, default=0),
    )


def returns_by_seed(
    venv: VecEnv, agent: Entrant, against: Entrant | None, *, seeds: int, key: int, max_steps: int | None = None
) -> Floats:
    """Play as `evaluate_entrant` does, and return the agent's returns [S, N] by seed and by the seat that it held."""
    return _play(venv, agent, against, seeds, key, 0, max_steps)[1]


def _play(
    venv: VecEnv,
    agent: Entrant,
    against: Entrant | None,
    seeds: int,
    key: int,
    opening_moves: int,
    max_steps: int | None,
) -> tuple[list[Episode], Floats]:
    """Play every seed from every side; return the episodes, and the agent's returns [S, N] by its seat."""
    num_players, side_of = venv.spec.num_players, venv.spec.side_of
    roster = [agent, against] if against else [agent]
    rotations = venv.spec.sides if against else 1
    seatings = np.where(side_of == np.arange(rotations)[:, None], 0, 1 if against else 0)
    streams = np.array([entrant.stream(key) for entrant in roster], np.uint64)
    played = sorted(
        play_episodes(
            venv,
            [entrant.answerable(venv.spec) for entrant in roster],
            streams,
            np.repeat(fold(key, np.arange(seeds)), rotations),
            np.tile(seatings, (seeds, 1)),
            opening_moves=opening_moves,
            max_steps=max_steps,
        ),
        key=lambda episode: episode.index,
    )
    returns = np.stack([episode.returns for episode in played]).reshape(seeds, rotations, num_players)
    own = returns[:, side_of, np.arange(num_players)] if against else returns[:, 0]
    return played, own
