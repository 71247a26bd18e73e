"""How fast the search is; `python -m tests.benchmarks.search`. Connect four, 64 simulations a move, untrained networks.

CPU time of one thread, medians; each benchmark runs in a process of its own, --only NAME runs one.

    tree        tree and adapter alone (a network that says nothing), against OpenSpiel's Python MCTS, the same
    network     self-play with a network: simulations, and the network's positions against those of the network alone
    single      one game alone: 1 and 8 walks at a time
    batch       simulations by the number of games searched together
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from open_spiel.python.algorithms import mcts

from games.adapters.openspiel import OpenSpielGame, OpenSpielState, load
from games.keys import fold, fold_one
from marl.algorithms.alphazero import AlphaZeroConfig, Judge, PolicyValue
from marl.networks import generator_of
from marl.search.evaluators import NetworkEvaluator
from marl.search.models import ExactModel
from marl.search.search import Search
from marl.search.selection import Puct
from tests.benchmarks import timing
from tests.benchmarks.timing import Row, medians

SIMULATIONS = 64
SIZES = {"2x32": (2, 32), "5x64": (5, 64)}


class Games:
    """Games of self-play, searched together; each move is the search's best."""

    def __init__(self, games: int, network: Callable[..., object] | None = None, *, leaves: int = 1) -> None:
        self.game: OpenSpielGame = load("connect_four", {})
        self.evaluator = NetworkEvaluator(self.game.spec, network or self._nothing, capacity=100_000 if network else 0)
        self.leaves, self.move = leaves, 0
        self.states = [self._fresh(g) for g in range(games)]

    def _nothing(self, views: np.ndarray, movers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(views), 7), np.float32), np.zeros((len(views), 2))

    def _fresh(self, key: int) -> OpenSpielState:
        """Return a position after up to 12 random moves: games in step would all be as deep."""
        state = self.game.initial_state()
        for ply in range(fold_one(key, 0) % 13):
            if not state.is_terminal():
                legal = state.legal_actions(state.player)
                state.apply([legal[fold_one(key, ply + 1) % len(legal)]] * 2)
        return self._fresh(key + 1_000_003) if state.is_terminal() else state

    def play(self) -> int:
        """Make a move in every game; return the simulations."""
        self.move += 1
        search = Search(
            ExactModel(self.game.spec, self.evaluator, [state.clone() for state in self.states]),
            Puct(noise=0.25),
            bounds=(-1, 1),
            leaves=self.leaves,
        )
        keys = fold(self.move, np.arange(len(self.states)))
        found = search.run(keys, np.full(len(self.states), SIMULATIONS))
        for g, (state, action) in enumerate(zip(self.states, found.best.tolist(), strict=True)):
            state.apply([action, action])
            if state.is_terminal():
                self.states[g] = self._fresh(self.move * 1000 + g)
        return int(found.simulations.sum())


class Nothing(mcts.Evaluator):
    """OpenSpiel's evaluator that says nothing."""

    def evaluate(self, state):
        return np.zeros(2)

    def prior(self, state):
        legal = state.legal_actions()
        return [(action, 1 / len(legal)) for action in legal]


def judge(size: str, precision: str = "float32") -> Judge:
    blocks, channels = SIZES[size]
    spec = load("connect_four", {}).spec
    config = AlphaZeroConfig(blocks=blocks, channels=channels)
    return Judge(PolicyValue(config, spec, generator_of(0)), spec, "cpu", precision)


def tree(options: argparse.Namespace) -> Iterator[Row]:
    games = Games(256)
    states = [state.native.clone() for state in games.states]
    bot = mcts.MCTSBot(
        games.game.native, 1.25, SIMULATIONS, Nothing(), child_selection_fn=mcts.SearchNode.puct_value, solve=False
    )

    def theirs() -> int:
        for state in states[:16]:
            bot.mcts_search(state)
        return 16 * SIMULATIONS

    ours, other = medians(games.play, theirs, repetitions=options.repetitions)
    yield "tree and adapter alone, 256 games: simulations per CPU-second", f"{ours:,.0f}", ""
    yield "OpenSpiel's Python MCTS, the same", f"{other:,.0f}", ""
    yield "ratio", f"{ours / other:.2f}", "≥ 1.1"


def network(options: argparse.Namespace) -> Iterator[Row]:
    for size, least in (("2x32", "≥ 0.60"), ("5x64", "≥ 0.85")):
        network = judge(size)
        games = Games(256, network)
        views = np.random.default_rng(0).integers(0, 2, (256, 3, 6, 7)).astype(np.float32)
        movers = np.zeros(256, np.int64)

        def alone(network: Judge = network, views: np.ndarray = views, movers: np.ndarray = movers) -> int:
            network(views, movers)
            return len(views)

        def answered(games: Games = games) -> int:
            before = games.evaluator.answered
            games.play()
            return games.evaluator.answered - before

        games.evaluator.forget()
        rate, evaluations, simulations = medians(alone, answered, games.play, repetitions=options.repetitions)
        saved = 1 - games.evaluator.answered / (games.move * 256 * SIMULATIONS)
        yield f"{size}, 256 games of self-play: simulations per CPU-second", f"{simulations:,.0f}", ""
        yield f"{size}: positions that the network sees per CPU-second of search", f"{evaluations:,.0f}", ""
        yield f"{size}: positions per CPU-second of the network alone", f"{rate:,.0f}", ""
        yield f"{size}: ratio of the two", f"{evaluations / rate:.2f}", least
        yield f"{size}: simulations answered without the network", f"{saved:.0%}", "≥ 30 %"


def single(options: argparse.Namespace) -> Iterator[Row]:
    one, eight = (Games(1, judge("5x64"), leaves=leaves) for leaves in (1, 8))
    alone, together = medians(one.play, eight.play, repetitions=options.repetitions)
    yield "5x64, one game, one walk at a time: simulations per CPU-second", f"{alone:,.0f}", ""
    yield "5x64, one game, eight walks at a time", f"{together:,.0f}", ""
    yield "ratio", f"{together / alone:.1f}", "≥ 2.5"


def batch(options: argparse.Namespace) -> Iterator[Row]:
    for size in (None, "2x32"):
        for games in (1, 16, 64, 256, 1024):
            rate = medians(Games(games, size and judge(size)).play, repetitions=max(1, options.repetitions // 2))[0]
            yield f"{size or 'no network'}, {games} games: simulations per CPU-second", f"{rate:,.0f}", ""


if __name__ == "__main__":
    timing.run(
        "tests.benchmarks.search",
        {"tree": tree, "network": network, "single": single, "batch": batch},
        argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter),
    )
