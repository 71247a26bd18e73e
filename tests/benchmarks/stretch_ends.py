"""Which episodes are open at the end of a stretch; `python -m tests.benchmarks.stretch_ends`.

Whole-episode replay lost them until learners of a team played them on. An episode is open at that moment the more
probably, the longer it is. For each game: the shares of long episodes (of the upper quartile) and of others that are
open, over stretches of as many steps and environments as the shipped configs have. --agent plays the first game.
"""

import argparse

import numpy as np

from games.keys import fold
from games.registry import make
from marl.agents.load import load_entrant
from marl.rollout.loop import Carry, play_steps

GAMES = [  # the game, environments, steps of a stretch
    ("predator_prey(size=6, predators=4, prey=4)", 64, 50_000),
    ("foraging | team_reward(how=sum)", 64, 50_000),
    ("predator_prey(size=5, predators=2, prey=1, horizon=30)", 64, 50_000),
]


def stretch(game: str, agent: str, num_envs: int, steps: int, key: int) -> tuple[list[int], list[int]]:
    """Play one stretch and its open episodes; return the lengths of those that ended in it, and of the open ones."""
    venv = make(game, num_envs)
    roster = [load_entrant(agent, venv.spec).answerable(venv.spec)]
    seating = np.zeros((num_envs, venv.spec.num_players), np.int64)
    carry = Carry(venv, roster, np.array([9], np.uint64), fold(key, np.arange(num_envs)))
    begun = np.zeros(num_envs, np.int64)
    ended: list[int] = []
    unended: list[int] = []
    t, last = 0, steps // num_envs
    while not carry.idle.all():
        play_steps(venv, roster, seating, carry, 1, closing=t >= last)
        t += 1
        for e in np.flatnonzero(carry.timestep.last & ~carry.idle):
            (ended if t <= last else unended).append(int(t - begun[e]))
        begun[carry.timestep.last] = t + 1
    return ended, unended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="random")
    parser.add_argument("--stretches", type=int, default=6)
    options = parser.parse_args()
    for index, (game, num_envs, steps) in enumerate(GAMES):
        agent = options.agent if index == 0 else "random"
        played = [stretch(game, agent, num_envs, steps, key) for key in range(options.stretches)]
        ended, unended = (np.array([n for part in parts for n in part]) for parts in zip(*played, strict=True))
        every = np.concatenate([ended, unended])
        least = np.quantile(every, 0.75)
        long, short = (
            (unended >= least).sum() / (every >= least).sum(),
            (unended < least).sum() / (every < least).sum(),
        )
        print(f"{game}, {agent}: {len(every):,} episodes of {every.mean():.1f} steps")
        print(f"    open at the end: {long:.1%} of those of {least:.0f} steps or more, {short:.1%} of shorter ones;")
        print(f"    without them an episode has {ended.mean():.1f} steps")


if __name__ == "__main__":
    main()
