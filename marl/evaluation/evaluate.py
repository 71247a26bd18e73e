"""Evaluation: what an agent is paid in each seat, against fixed opponents, over a fixed quota of episodes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from games.contract import VecEnv
from games.keys import fold
from marl.agents.load import Entrant
from marl.base.intervals import of_pulls
from marl.rollout.loop import episodes


@dataclass(frozen=True)
class Evaluation:
    """The agent's return by the seat it held: the mean over episodes, and the half width of its 95 % interval."""

    episodes: int
    return_mean: list[float]  # [N]
    return_ci95: list[float]  # [N]
    length_mean: float  # steps an episode
    cut: int = 0  # episodes that had not ended after `cut_after` steps; they count with what they had paid by then
    cut_after: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data, `cut` where any were; null for what one seed cannot show."""
        data = asdict(self) | {"return_ci95": [ci95 if np.isfinite(ci95) else None for ci95 in self.return_ci95]}
        return data if self.cut else {key: value for key, value in data.items() if not key.startswith("cut")}

    def note(self, against: str) -> str:
        """Return what there is to say of episodes that were cut, or nothing."""
        if not self.cut:
            return ""
        return (
            f"{self.cut} of {self.episodes} episodes against {against} had not ended after {self.cut_after:,} steps, "
            "and count with what they had paid by then; max_steps sets another limit"
        )


def evaluate(
    venv: VecEnv,
    agent: Entrant,
    against: Entrant | None,
    *,
    seeds: int,
    key: int,
    opening_moves: int = 0,
    max_steps: int | None = None,
) -> Evaluation:
    """Play `seeds` seeds. Against an opponent, each seed is played from every seat, and it holds all others; against
    nobody, the agent holds all seats and every player's return is its own. The first `opening_moves` steps of a game
    are drawn at random, the same for all that share its seed; after `max_steps` (`most_steps` of the game by default)
    it is cut. Raises RunFailed for an agent that fails or moves illegally.
    """
    num_players = venv.spec.num_players
    roster = [agent, against] if against else [agent]
    rotations = num_players if against else 1
    rotation, player = np.arange(rotations)[:, None], np.arange(num_players)[None, :]
    seatings = np.where(player == rotation, 0, 1) if against else np.zeros((1, num_players), np.int64)
    streams = np.array([entrant.stream(key) for entrant in roster], np.uint64)
    played = sorted(
        episodes(
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
    own = returns[:, np.arange(num_players), np.arange(num_players)] if against else returns[:, 0]  # [seeds, N]
    cut = [episode.length for episode in played if episode.cut]
    half = of_pulls((own - own.mean(0)).T / seeds, np.full(num_players, seeds))
    return Evaluation(
        episodes=len(played),
        return_mean=own.mean(0).round(6).tolist(),
        return_ci95=half.round(6).tolist(),
        length_mean=round(float(np.mean([episode.length for episode in played])), 6),
        cut=len(cut),
        cut_after=max(cut, default=0),
    )
