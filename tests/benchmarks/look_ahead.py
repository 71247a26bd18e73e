"""What looking ahead costs and gains; `python -m tests.benchmarks.look_ahead PART`.

speed                 CPU time of a rollout's decisions: all games in one loop, against one game after another
mastermind AGENT ...  mean and most guesses over all codes
gain BASE AGENT       mean return of both against a pool, on the same seeds, and the difference with its interval
match AGENT OTHER     share of games won, drawn and lost, each seed from both seats
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from games.arrays import Floats
from games.contract import Spec, VecEnv
from games.keys import fold
from games.native.mastermind import Mastermind, MastermindState
from games.registry import make
from marl.agents.entrants import Entrant
from marl.agents.load import load_entrant
from marl.base.intervals import estimate
from marl.learning.registry import algorithm
from marl.rollout.agent import Agent
from marl.rollout.loop import play_episodes
from marl.rollout.types import View
from marl.search.continuations import Continuations, Games
from marl.search.rollout_agent import RolloutAgent
from tests.benchmarks.timing import medians

EPISODES = 64  # environments at once
CODES = 162  # played at once: an eighth of them all


def network(spec: Spec) -> Agent:
    """Return an untrained agent of ippo's."""
    kind = algorithm("ippo")
    return kind(kind.Config(encoder="mlp"), spec, key=1, total_steps=1000, device="cpu").agent()


def speed(samples: int) -> None:
    """Print simulated games a CPU-second at the first moves of connect four."""
    venv = make("openspiel:connect_four", 8)
    timestep = venv.reset(fold(1, np.arange(8)))
    env, player = np.nonzero(timestep.acting)
    view = View.at(venv, timestep, env, player, fold(2, env), first=np.ones(8, bool))
    base = network(venv.spec)
    rollout = RolloutAgent(venv.spec, base, samples=samples)
    games = int(view.action_mask.sum()) * samples

    def together() -> int:
        rollout.act(view, None)
        return games

    def one_by_one() -> int:
        alone = Continuations(venv.spec, base, base)
        assert view.states is not None
        for row, state in enumerate(view.states()[:1]):
            for action in range(venv.spec.num_actions):
                one = Games([state.clone()], view.player[[row]], view.key[[row]], None)
                alone.play_on(one, np.array([action]))
        return venv.spec.num_actions

    batched, looped = medians(together, one_by_one, repetitions=5)
    print(
        f"simulated games a CPU-second: {batched:,.0f} together, {looped:,.0f} one by one, {batched / looped:.1f} times"
    )


def mastermind(texts: Sequence[str]) -> None:
    """Print how many guesses agents need over all codes."""
    game = Mastermind()
    for text in texts:
        began, entrant = time.process_time(), load_entrant(text, game.spec)
        guesses = np.concatenate(
            [
                guesses_of(game, entrant, codes)
                for codes in np.split(np.arange(len(game.codes)), len(game.codes) // CODES)
            ]
        )
        spent = time.process_time() - began
        print(f"{text}: mean {guesses.mean():.3f}, most {guesses.max():.0f}, {spent:.0f} CPU-seconds")


def guesses_of(game: Mastermind, entrant: Entrant, codes: NDArray[np.int64]) -> Floats:
    """Return the guesses that an agent needs for codes [B], whose numbers are the seeds."""
    states, going, number = [MastermindState(game, int(code)) for code in codes], np.arange(len(codes)), 0
    while len(going):
        keys = fold(fold(entrant.stream(0), codes[going]), number)
        view = View.of(game.spec, [states[i] for i in going.tolist()], keys, first=number == 0)
        for i, action in zip(going.tolist(), entrant.agent.act(view, None)[0].action.tolist(), strict=True):
            states[i].apply([action])
        going = np.array([i for i in going.tolist() if not states[i].is_terminal()], np.int64)
        number += 1
    return np.array([-state.returns()[0] for state in states])


def returns(venv: VecEnv, one: Entrant, other: Entrant, seeds: int) -> Floats:
    """Return what `one` gets on each seed, the mean over both seats [seeds]."""
    total = np.zeros((seeds, 2))
    for seat in (0, 1):
        order = [one, other] if seat == 0 else [other, one]
        streams = np.array([agent.stream(1) for agent in order], np.uint64)
        seatings = np.tile([0, 1], (seeds, 1))
        roster = [agent.agent for agent in order]
        for episode in play_episodes(venv, roster, streams, fold(2, np.arange(seeds)), seatings):
            total[episode.index, seat] = episode.returns[seat]
    return np.asarray(total.T)


def gain(game: str, base: str, text: str, pool: Sequence[str], seeds: int) -> None:
    """Print what an agent gets more than its base against a pool."""
    venv = make(game, EPISODES)
    one, other = load_entrant(text, venv.spec), load_entrant(base, venv.spec)
    differences = []
    for against in [load_entrant(each, venv.spec) for each in pool]:
        ours, theirs = (returns(venv, agent, against, seeds).mean(0) for agent in (one, other))
        differences.append(ours - theirs)
        print(f"against {against.name}: {_told(ours)}, {other.name} {_told(theirs)}, change {_told(ours - theirs)}")
    print(f"change over the pool: {_told(np.mean(differences, 0))}")


def _told(values: Floats) -> str:
    found = estimate(values)
    return f"{found.mean:+.3f} ± {found.interval:.3f}"


def match(game: str, text: str, other: str, seeds: int) -> None:
    """Print the share of games that an agent wins against another."""
    venv = make(game, EPISODES)
    began = time.process_time()
    found = returns(venv, load_entrant(text, venv.spec), load_entrant(other, venv.spec), seeds).ravel()
    shares = ((found > 0).mean(), (found == 0).mean(), (found < 0).mean())
    spent = time.process_time() - began
    told = ", ".join(f"{word} {share:.1%}" for word, share in zip(("won", "drawn", "lost"), shares, strict=True))
    print(f"{text} against {other}: {told} of {len(found)} games; {spent:.0f} CPU-seconds")


def main() -> None:
    parser = argparse.ArgumentParser()
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("speed").add_argument("--samples", type=int, default=16)
    parts.add_parser("mastermind").add_argument("agents", nargs="+")
    for name in ("gain", "match"):
        part = parts.add_parser(name)
        part.add_argument("agents", nargs=2)
        part.add_argument("--game", required=True)
        part.add_argument("--seeds", type=int, default=200)
    parts.choices["gain"].add_argument("--pool", nargs="+", default=["random"])
    given = parser.parse_args()
    run: dict[str, Callable[[], None]] = {
        "speed": lambda: speed(given.samples),
        "mastermind": lambda: mastermind(given.agents),
        "gain": lambda: gain(given.game, given.agents[0], given.agents[1], given.pool, given.seeds),
        "match": lambda: match(given.game, given.agents[0], given.agents[1], given.seeds),
    }
    run[given.part]()


if __name__ == "__main__":
    main()
