"""What a response to a mixture at Leduc poker gains; `python -m tests.benchmarks.mixture_responses`.

    trained    ippo against the mixture of 25 exact responses (`psro_leduc_exact`): the gains in both seats together, of
               the sampled policy and of its mode (greedy=true), beside those of the exact best response
    mixing     PSRO by computed responses: NashConv by round, where each plays exp(Q / temperature) at every
               information state; temperature 0 is the best response

All values are exact, by the tree. Q is that of the response itself, conditional on the information state, in chips.
Times are CPU time of one thread, training alone.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import marl
from games.arrays import Floats
from games.registry import make
from marl import equilibria
from marl.agents.load import load_entrant
from marl.evaluation.exploitability import best_response
from marl.evaluation.tabular import behaviour_of
from marl.evaluation.tree import Probabilities, Tree, best_responses, reach_weighted, returns

PLAIN = "openspiel:leduc_poker"
GAME = f"{PLAIN}(observe=information_state)"
BEFORE = {"learning_rate": 2e-3, "minibatch_size": 512, "epochs": 8, "gamma": 1.0, "gae_lambda": 0.7}
CONFIG = BEFORE | {"learning_rate": 5e-3, "minibatch_size": 1024, "epochs": 4}
LITTLE, MORE, FALLS = ({"entropy_coefficient": 0.02}, {"entropy_coefficient": 0.1}, {"entropy_coefficient_end": 0.05})
FEW, MANY = {"steps": 500_000}, {"steps": 1_000_000, "num_envs": 256}
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "observations, entropy 0.02": (PLAIN, FEW, BEFORE | LITTLE),
    "information states, entropy 0.02": (GAME, FEW, BEFORE | LITTLE),
    "— no entropy": (GAME, FEW, BEFORE | {"entropy_coefficient": 0.0}),
    "— gae_lambda 0.95": (GAME, FEW, BEFORE | LITTLE | {"gae_lambda": 0.95}),
    "— learning rate 5e-4": (GAME, FEW, BEFORE | LITTLE | {"learning_rate": 5e-4}),
    "— 2,000,000 steps": (GAME, {"steps": 2_000_000}, BEFORE | LITTLE),
    "information states, entropy 0.1": (GAME, FEW, BEFORE | MORE),
    "— falling to 0.01": (GAME, FEW, BEFORE | MORE | {"entropy_coefficient_end": 0.01}),
    "the config of psro_leduc, with observations": (PLAIN, MANY, CONFIG | MORE | FALLS),
    "the config of psro_leduc": (GAME, MANY, CONFIG | MORE | FALLS),
}
TREMBLE = 1e-3  # the share of uniform play in what a mixing response answers, so that it knows the whole game


def trained(seed: int, only: str | None) -> None:
    """Print what each variant gains; those of both kinds of views meet the same policies, each in its own game."""
    with TemporaryDirectory() as folder:
        for game in (PLAIN, GAME):
            marl.train_population(
                {
                    "method": "psro",
                    "game": game,
                    "learner": {"name": "best_response"},
                    "payoffs": "exact",
                    "iterations": 25,
                    "writers": [],
                },
                run_dir=Path(folder) / _plain(game),
                quiet=True,
            )
        print("| variant | sampled | mode | exact | CPU-seconds |\n| :-- | --: | --: | --: | --: |")
        for number, (name, (game, run, settings)) in enumerate(VARIANTS.items()):
            if only not in (None, name):
                continue
            mixture = f"mixture({Path(folder) / _plain(game)})"
            config = {
                "game": game,
                "algorithm": {"name": "ippo"} | settings,
                "stretch": run["steps"],
                "seed": seed,
                "opponents": {"agents": [mixture], "share": 1.0},
                "evaluation": {"panel": []},
                "writers": [],
            } | run
            start = time.process_time()
            newest = marl.train(config, run_dir=Path(folder) / str(number), quiet=True)
            spent = time.process_time() - start
            tree = Tree(make(game, 1).spec, "this benchmark")
            against, *ours = (
                behaviour_of(tree, load_entrant(text, tree.spec).agent, 0, 2)
                for text in (mixture, str(newest), f"{newest}(greedy=true)")
            )
            found = [best_response(tree, each, against) for each in ours]
            gains = [sum(each.value) for each in found]
            print(
                f"| {name} | {gains[0]:.2f} | {gains[1]:.2f} | {sum(found[0].best_response):.2f} | {spent:.0f} |",
                flush=True,
            )


def _plain(game: str) -> str:
    return "".join(letter for letter in game if letter.isalnum())


def mixing(rounds: int, temperatures: tuple[float, ...]) -> None:
    """Print NashConv by round of PSRO by computed responses, for each temperature."""
    tree = Tree(make(PLAIN, 1).spec, "this benchmark")
    shown = range(0, rounds + 1, 10)
    print(f"| temperature | {' | '.join(map(str, shown))} |\n| --: |{' --: |' * len(shown)}")
    for temperature in temperatures:
        members, paid, found = [tree.uniform()], np.zeros((0, 0, 2)), []
        for _ in range(rounds + 1):
            paid = _widened(tree, members, paid)
            weights = np.array(equilibria.solve([paid[..., 0], paid[..., 1]], "nash").strategies).T
            mixture = reach_weighted(tree, members, weights)
            found.append(float(best_responses(tree, mixture)[1].sum() - returns(tree, [mixture] * 2).sum()))
            members.append(mixing_response(tree, mixture, temperature))
        print(f"| {temperature} | {' | '.join(f'{found[number]:.2f}' for number in shown)} |", flush=True)


def _widened(tree: Tree, members: list[Probabilities], paid: Floats) -> Floats:
    """Return the payoffs [n, n, 2] of n members; those of the newest are computed."""
    n = len(members)
    wider = np.zeros((n, n, 2))
    wider[: n - 1, : n - 1] = paid
    for i, member in enumerate(members):
        wider[i, -1], wider[-1, i] = returns(tree, [member, members[-1]]), returns(tree, [members[-1], member])
    return wider


def mixing_response(tree: Tree, mixture: Probabilities, temperature: float) -> Probabilities:
    """Return the response that plays exp(Q / temperature) in every seat; the best one at temperature 0."""
    response = np.zeros_like(mixture)
    own_reach, reach = tree.reach(tree.uniform()), tree.reach(mixture)
    for player, last in enumerate(tree.ends.sequence.T):
        other = tree.ends.sequence[:, 1 - player]
        chance = tree.ends.chance * ((1 - TREMBLE) * reach[other] + TREMBLE * own_reach[other])
        worth = np.bincount(last, chance * tree.ends.returns[:, player], len(reach))
        mass = np.bincount(last, chance * own_reach[last], len(reach))  # of a sequence, if the player draws its actions
        for layer in reversed(tree.layers):
            own = np.flatnonzero(tree.player[layer] == player) + layer.start
            leads, here = tree.leads[own], mass[1:].reshape(mixture.shape)[own].sum(1)
            value = worth[1:].reshape(mixture.shape)[own]
            q = np.where(tree.legal[own], value / (here / own_reach[leads])[:, None], -np.inf)
            above = q - q.max(1, keepdims=True)
            plays = np.exp(above / temperature) if temperature else (np.cumsum(above == 0, 1) == 1) & (above == 0)
            response[own] = plays / plays.sum(1, keepdims=True)
            np.add.at(mass, leads, here)
            np.add.at(worth, leads, (response[own] * value).sum(1))
    return response


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["trained", "mixing"], choices=["trained", "mixing"])
    parser.add_argument("--only", help="a variant's name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if "trained" in options.parts:
        trained(options.seed, options.only)
    if "mixing" in options.parts:
        mixing(options.rounds, (0.0, 0.1, 0.2, 0.5))
