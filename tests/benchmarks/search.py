"""How fast the search is; `python -m tests.benchmarks.search`. Connect four, 64 simulations a move, untrained networks.

CPU time of one thread, medians; each benchmark runs in a process of its own, --only NAME runs one.

    tree        tree and adapter alone (a network that says nothing), against OpenSpiel's Python MCTS, the same
    network     self-play with a network: simulations, and the network's positions against those of the network alone
    single      one game alone: 1 and 8 walks at a time, by torch and by OpenVINO
    backends    the network alone, by torch and by OpenVINO, in batches of 8, 64 and 256
    batch       simulations by the number of games searched together
    mctx        self-play against pgx with mctx, networks of the same sizes, by turns; --mctx-python is a Python with
                both (tests/benchmarks/peers.md)
    openspiel   the same against OpenSpiel's Python AlphaZero; --openspiel-python has open_spiel, flax, optax,
                orbax-checkpoint, chex
"""

import argparse
import os
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import get_args

import numpy as np
from open_spiel.python.algorithms import mcts

from games.adapters.openspiel import OpenSpielGame, OpenSpielState, load
from games.keys import fold, fold_one
from marl.algorithms.zero.networks import PolicyValue, PolicyValueInference
from marl.base.memory import collect_less, keep_freed_memory
from marl.learning.backends import BackendName, Precision
from marl.learning.networks import generator_of
from marl.search.evaluators import NetworkEvaluator
from marl.search.models import ExactModel
from marl.search.search import Search
from marl.search.selection import Puct
from tests.benchmarks import timing
from tests.benchmarks.cooperative import Partner, one_core
from tests.benchmarks.timing import Row, medians, per_second

SIMULATIONS = 64
SIZES = {"2x32": (2, 32), "5x64": (5, 64)}
MOVES = 8  # of all games, each turn
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


class Games:
    """Games of self-play, searched together; each move is the search's best. AlphaZero backs up proven values."""

    def __init__(
        self, games: int, network: Callable[..., object] | None = None, *, leaves: int = 1, solve: bool = False
    ) -> None:
        self.game: OpenSpielGame = load("connect_four", {})
        self.evaluator = NetworkEvaluator(self.game.spec, network or self._nothing, capacity=100_000 if network else 0)
        self.leaves, self.solve, self.move = leaves, solve, 0
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
            solve=self.solve,
            win=1,
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


def judge(size: str, precision: str = "float32", backend: str = "torch") -> PolicyValueInference:
    blocks, channels = SIZES[size]
    spec = load("connect_four", {}).spec
    network = PolicyValue(spec, generator_of(0), encoder="auto", hidden=(), channels=channels, blocks=blocks)
    return PolicyValueInference(network, spec, "cpu", precision=precision, backend=backend)


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

        def alone(
            network: PolicyValueInference = network, views: np.ndarray = views, movers: np.ndarray = movers
        ) -> int:
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
    kinds = [(backend, leaves) for backend in get_args(BackendName) for leaves in (1, 8)]
    games = [Games(1, judge("5x64", backend=backend), leaves=leaves) for backend, leaves in kinds]
    rates = dict(zip(kinds, medians(*(one.play for one in games), repetitions=options.repetitions), strict=True))
    for (backend, leaves), rate in rates.items():
        yield f"5x64, one game, {leaves} walk(s) at a time, {backend}: simulations per CPU-second", f"{rate:,.0f}", ""
        if leaves > 1:
            yield "— against torch, one walk at a time", f"{rate / rates['torch', 1]:.1f}", "≥ 2.5"


def backends(options: argparse.Namespace) -> Iterator[Row]:
    for size in SIZES:
        for precision in get_args(Precision):
            judges = [judge(size, precision, backend) for backend in get_args(BackendName)]
            for rows in (8, 64, 256):
                views = np.random.default_rng(0).integers(0, 2, (rows, 3, 6, 7)).astype(np.float32)

                def asked(judge: PolicyValueInference, views: np.ndarray = views) -> int:
                    for _ in range(512 // len(views)):
                        judge(views, np.zeros(len(views), np.int64))
                    return 512

                torch, openvino = medians(*(partial(asked, judge) for judge in judges), repetitions=options.repetitions)
                yield f"{size}, {precision}, {rows} rows: positions per CPU-second, torch", f"{torch:,.0f}", ""
                yield "— OpenVINO", f"{openvino:,.0f}", ""
                yield "— ratio", f"{openvino / torch:.2f}", ""


def batch(options: argparse.Namespace) -> Iterator[Row]:
    for size in (None, "2x32"):
        for games in (1, 16, 64, 256, 1024):
            rate = medians(Games(games, size and judge(size)).play, repetitions=max(1, options.repetitions // 2))[0]
            yield f"{size or 'no network'}, {games} games: simulations per CPU-second", f"{rate:,.0f}", ""


def mctx(options: argparse.Namespace) -> Iterator[Row]:
    """Compilation is not counted. mctx is fastest with 64 games; it makes 32 simulations a move."""
    if options.mctx_python is None:
        yield "pgx with mctx", "skipped: name a Python that has them with --mctx-python", ""
        return
    one_core()
    os.environ |= ONE_THREAD
    keep_freed_memory()  # as training does
    collect_less()
    targets = {("2x32", "float32"): "≥ 0.9", ("5x64", "float32"): "≥ 1.3"}
    targets |= {("2x32", "bfloat16"): "≥ 1.0", ("5x64", "bfloat16"): "≥ 1.8"}
    for size in (name for name in SIZES if options.size in (None, name)):
        kinds = list(product(get_args(Precision), get_args(BackendName), (64, 256)))
        played = [Games(games, judge(size, *how), solve=True) for *how, games in kinds]
        driver = [options.mctx_python, "-c", MCTX, *map(str, SIZES[size])]
        with Partner(driver) as theirs:
            rates = [[theirs.rate(), *map(_turn, played)] for _ in range(options.repetitions + 1)][1:]
        other, *rate = (statistics.median(column) for column in zip(*rates, strict=True))
        yield f"pgx with mctx, {size}, float32: simulations per CPU-second", f"{other:,.0f}", ""
        for (precision, backend, games), ours in zip(kinds, rate, strict=True):
            what = f"here, {size}, {precision}, {backend}, {games} games"
            yield f"{what}: simulations per CPU-second", f"{ours:,.0f}", ""
            yield "— against pgx with mctx", f"{ours / other:.2f}", targets[size, precision]


def _turn(games: Games) -> float:
    """Make some moves with an empty cache; return simulations per CPU-second."""
    games.evaluator.forget()
    return per_second(lambda: sum(games.play() for _ in range(MOVES)))


def openspiel(options: argparse.Namespace) -> Iterator[Row]:
    """Each turn of OpenSpiel's is three moves of a game, after the first one."""
    if options.openspiel_python is None:
        yield "OpenSpiel's AlphaZero", "skipped: name a Python that has it with --openspiel-python", ""
        return
    one_core()
    os.environ |= ONE_THREAD
    played = Games(256, judge("5x64"), solve=True)
    driver = [options.openspiel_python, "-c", OPENSPIEL, *map(str, SIZES["5x64"])]
    with Partner(driver) as theirs:
        rates = [(_turn(played), theirs.rate()) for _ in range(options.repetitions)]
    ours, other = (statistics.median(column) for column in zip(*rates, strict=True))
    yield "here, 5x64, float32, torch, 256 games: simulations per CPU-second", f"{ours:,.0f}", ""
    yield "OpenSpiel's Python AlphaZero (nnx), 5x64: simulations per CPU-second", f"{other:,.1f}", ""
    yield "— ratio", f"{ours / other:,.0f}", "≥ 100"


# Their network is ours: the mover's planes, the same convolutions and heads, without batch normalisation.
MCTX = """
import sys, time
import jax, jax.numpy as jnp, mctx, pgx
from pgx.experimental import auto_reset

blocks, channels, batch, simulations = int(sys.argv[1]), int(sys.argv[2]), 64, 32
env = pgx.make("connect_four")
keys = iter(jax.random.split(jax.random.PRNGKey(0), 100))


def weight(*shape):
    return jax.random.normal(next(keys), shape) / (9 * shape[-2]) ** 0.5


convolutions = [weight(3, 3, 4, channels)] + [weight(3, 3, channels, channels) for _ in range(2 * blocks)]
heads = [weight(3, 3, channels, 8), weight(3, 3, channels, 4), weight(336, 7), weight(168, 64), weight(64, 2)]
params = (convolutions, heads)


def conv(x, w):
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def network(params, obs):
    (first, *others), (p, v, policy, hidden, value) = params
    x = obs.astype(jnp.float32)
    x = jax.nn.relu(conv(jnp.concatenate([x, x], -1), first))
    for a, b in zip(others[::2], others[1::2]):
        x = jax.nn.relu(x + conv(jax.nn.relu(conv(x, a)), b))
    logits = jax.nn.relu(conv(x, p)).reshape(len(x), -1) @ policy
    values = jax.nn.relu(jax.nn.relu(conv(x, v)).reshape(len(x), -1) @ hidden) @ value
    return logits, jnp.tanh(values[:, 0])


def recurrent(params, key, action, state):
    player = state.current_player
    state = jax.vmap(env.step)(state, action)
    logits, value = network(params, state.observation)
    logits = jnp.where(state.legal_action_mask, logits, jnp.finfo(logits.dtype).min)
    reward = state.rewards[jnp.arange(batch), player]
    value = jnp.where(state.terminated, 0.0, value)
    discount = jnp.where(state.terminated, 0.0, -1.0)
    return mctx.RecurrentFnOutput(reward=reward, discount=discount, prior_logits=logits, value=value), state


@jax.jit
def move(params, state, key):
    searching, stepping = jax.random.split(key)
    logits, value = network(params, state.observation)
    root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=state)
    found = mctx.gumbel_muzero_policy(
        params, searching, root, recurrent, simulations, invalid_actions=~state.legal_action_mask
    )
    return jax.vmap(auto_reset(env.step, env.init))(state, found.action, jax.random.split(stepping, batch))


state = jax.jit(jax.vmap(env.init))(jax.random.split(jax.random.PRNGKey(1), batch))
state = jax.block_until_ready(move(params, state, jax.random.PRNGKey(2)))
for line in sys.stdin:
    start = time.process_time()
    for n in range(16):
        state = move(params, state, jax.random.PRNGKey(n))
    jax.block_until_ready(state)
    print("SPENT", 16 * batch * simulations, time.process_time() - start, flush=True)
"""

OPENSPIEL = """
import sys, time
import pyspiel
from open_spiel.python.algorithms import mcts
from open_spiel.python.algorithms.alpha_zero import evaluator, utils

blocks, channels, simulations = int(sys.argv[1]), int(sys.argv[2]), 64
game = pyspiel.load_game("connect_four")
model = utils.api_selector("nnx").Model.build_model(
    "resnet", game.observation_tensor_shape(), 7, nn_width=channels, nn_depth=blocks, weight_decay=1e-4,
    learning_rate=1e-3, path=None,
)
bot = mcts.MCTSBot(
    game, 1.25, simulations, evaluator.AlphaZeroEvaluator(game, model),
    child_selection_fn=mcts.SearchNode.puct_value, solve=False,
)
for line in sys.stdin:
    state = game.new_initial_state()
    state.apply_action(bot.step(state))
    start, moves = time.process_time(), 3
    for _ in range(moves):
        state.apply_action(bot.step(state))
    print("SPENT", moves * simulations, time.process_time() - start, flush=True)
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mctx-python", metavar="PYTHON", help="a Python that has pgx and mctx")
    parser.add_argument("--openspiel-python", metavar="PYTHON", help="a Python that has OpenSpiel's AlphaZero")
    parser.add_argument("--size", choices=SIZES, help="of the network, for mctx; all of them by default")
    benchmarks = {"tree": tree, "network": network, "single": single, "backends": backends}
    benchmarks |= {"batch": batch, "mctx": mctx, "openspiel": openspiel}
    timing.run("tests.benchmarks.search", benchmarks, parser)
