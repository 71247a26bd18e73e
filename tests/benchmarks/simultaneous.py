"""Learners of zero-sum games of simultaneous moves beside exact values: minimax-DQN, MEX's optimism, independent Q.

python -m tests.benchmarks.simultaneous pennies --seeds 5       # docs/explanation/results/two-players.md has the tables
python -m tests.benchmarks.simultaneous goofspiel --seeds 3
python -m tests.benchmarks.simultaneous independent --seeds 3   # iql on the same game
python -m tests.benchmarks.simultaneous chain --seeds 5         # with and without optimism
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import marl
from games.keys import fold, stream
from games.registry import load, make
from games.solvers.exhaustive import Solution, edges
from marl.agents.load import load_entrant
from marl.algorithms.minimax_q.minimax_dqn import MinimaxDqn
from marl.algorithms.value_factorization.qmix import Iql
from marl.base.intervals import estimate
from marl.equilibria.stage import linear_programs
from marl.evaluation.exploitability import nash_conv
from marl.evaluation.tabular import told
from marl.evaluation.tree import Tree, best_responses, returns
from marl.rollout.loop import Carry, rollout
from marl.rollout.types import View
from tests.marl.algorithms.minimax_q.games import Chain, trained

GOOFSPIEL = "openspiel:goofspiel(num_cards=4)"
DESCENDING = "openspiel:goofspiel(num_cards=4,points_order=descending)"


def value(payoffs: np.ndarray) -> float:
    return float(linear_programs(payoffs[None]).values[0])


def largest_error(agent: Any, game: Any) -> float:
    """Return max |Q - Q*| over both players' views of all positions and over legal actions."""
    solution = Solution(game, stage=value)
    waiting, known = [game.initial_state()], []
    while waiting:
        state = waiting.pop()
        waiting += [edge.state for edge in edges(state)]
        known += [state] if state.acting() else []
    worst = 0.0
    for player in (0, 1):
        view = View.of(game.spec, known, fold(0, np.arange(len(known))), first=False, players=[player] * len(known))
        for state, found in zip(known, agent.payoffs(view), strict=True):
            own, other = (list(state.legal_actions(p)) for p in (player, 1 - player))
            exact = solution.stage(state) if player == 0 else -solution.stage(state).T
            worst = max(worst, float(np.abs(found[np.ix_(own, other)] - exact).max()))
    return worst


def run(config: str, seed: int, **changes: Any) -> tuple[Any, Any, str, float]:
    """Train a shipped config; return the agent, the Spec, the game's reference, and the CPU seconds."""
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        changes |= {"seed": seed, "evaluation.seeds": 2}
        checkpoint = marl.train(config, run_dir=Path(folder) / "run", quiet=True, **changes)
        spent = time.process_time() - begun
        from marl.agents.load import game_of

        game = game_of(str(checkpoint))
        spec = make(game, 1).spec
        return load_entrant(str(checkpoint), spec).agent, spec, game, spent


def pennies(seeds: int) -> Iterator[str]:
    yield "| game | seed | value | strategies | NashConv | CPU-s |"
    yield "|:--|--:|--:|:--|--:|--:|"
    for name in ("matching_pennies", "rock_paper_scissors"):
        for seed in range(seeds):
            agent, spec, game, spent = run(f"minimax_dqn_{name}", seed)
            tree = Tree(spec, "this benchmark", game=game)
            policy = told(tree, agent, 0)
            states = [state.decisions[-1] for state in tree.known]
            view = View.of(spec, states, fold(0, np.arange(2)), first=True, players=tree.player.tolist())
            worth = float(agent.value(view, None)[tree.player.argmin()])
            mixed = ", ".join("(" + " ".join(f"{p:.3f}" for p in row) + ")" for row in policy)
            found = nash_conv(agent, spec, 0, 2, game=game).nash_conv
            yield f"| {name} | {seed} | {worth:+.4f} | {mixed} | {found:.4f} | {spent:.0f} |"


def goofspiel(seeds: int) -> Iterator[str]:
    yield "| prizes | seed | NashConv | largest error of Q | CPU-s |"
    yield "|:--|--:|--:|--:|--:|"
    for reference, steps in ((DESCENDING, 20_000), (GOOFSPIEL, 60_000)):
        for seed in range(seeds):
            agent, spec, game, spent = run("minimax_dqn_goofspiel", seed, game=reference, steps=steps)
            found = nash_conv(agent, spec, 0, 2, game=game).nash_conv
            error = largest_error(agent, load(game))
            prizes = "random" if reference == GOOFSPIEL else "descending"
            yield f"| {prizes} | {seed} | {found:.3f} | {error:.3f} | {spent:.0f} |"


def independent(seeds: int, steps: int = 20_000) -> Iterator[str]:
    """Two learners of `iql`, each for one seat: to each the other is part of the game."""
    yield "| seed | NashConv of the greedy policies | CPU-s |"
    yield "|--:|--:|--:|"
    for seed in range(seeds):
        begun, venv = time.process_time(), make(GOOFSPIEL, 64)
        team = replace(venv.spec, payoff="team")  # of one, whose reward is set below
        config = Iql.Config(epsilon_steps=10_000, recurrent=False, last_action=False, gamma=1.0)
        learners = [
            Iql(config, team, key=stream(seed, f"learner {seat}"), total_steps=steps, device="cpu") for seat in (0, 1)
        ]
        roster = [learner.actors()[0] for learner in learners]
        carry = Carry(venv, roster, fold(seed, np.arange(2)), fold(stream(seed, "games"), np.arange(64)))
        while learners[0].steps < steps:
            seen = rollout(venv, roster, np.tile(np.arange(2), (64, 1)), carry, 16)
            for seat, learner in enumerate(learners):
                own = np.repeat(seen.reward[..., seat : seat + 1], 2, axis=2)
                learner.actors()
                learner.update(replace(seen, reward=own), [seat])
        tree = Tree(venv.spec, "this benchmark")
        tables = [told(tree, learner.agent(), 0) for learner in learners]
        policy = np.where(tree.player[:, None] == 0, *tables)
        found = float(best_responses(tree, policy)[1].sum() - returns(tree, [policy] * 2).sum())
        yield f"| {seed} | {found:.3f} | {time.process_time() - begun:.0f} |"


def chain(seeds: int, length: int = 4, steps: int = 4_000) -> Iterator[str]:
    yield "| α | value at the start, by steps | NashConv, by steps | CPU-s |"
    yield "|--:|:--|:--|--:|"
    game = Chain(length)
    for optimism in (0.0, 0.01):
        found, begun = [], time.process_time()
        for seed in range(seeds):
            settings = {"epsilon_steps": steps // 2, "learning_starts": 256, "target_update": 50, "iterations": 100}
            made, metrics = trained(MinimaxDqn, game, steps, key=seed, optimism=optimism, **settings)
            conv = nash_conv(made.agent(), game.spec, 0, 2).nash_conv
            found.append((metrics["start_value"], conv))
        cells = [f"{each.mean:.3f} ± {each.interval:.3f}" for each in map(estimate, np.array(found).T)]
        yield f"| {optimism} | {cells[0]} | {cells[1]} | {(time.process_time() - begun) / seeds:.0f} |"


def main(arguments: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = {"pennies": pennies, "goofspiel": goofspiel, "independent": independent, "chain": chain}
    parser.add_argument("what", choices=tables)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for row in tables[given.what](given.seeds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
