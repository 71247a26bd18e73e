"""MuZero: its targets, by hand; it resumes exactly, refuses what it cannot learn, and learns something tiny."""

from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrant
from marl.algorithms.zero.muzero import (
    MuZero,
    MuZeroConfig,
    MuZeroInference,
    MuZeroNetwork,
    Targets,
    halved,
    loss,
    rescaled,
    targets,
)
from marl.evaluation.evaluate import evaluate_entrant
from marl.learning.networks import generator_of
from marl.rollout.loop import Carry, rollout
from marl.training.config import TrainConfig
from marl.training.train import train

GAME = "openspiel:tic_tac_toe"
SMALL = {"simulations": 8, "channels": 8, "blocks": 1, "batch_size": 16, "steps_per_update": 16, "sampled_moves": 3}
SMALL |= {"unroll_steps": 3, "hidden": (16,)}


def spec_of(game):
    return make(game, 1).spec


def learner(game=GAME, **settings):
    return MuZero(MuZeroConfig(**SMALL | settings), spec_of(game), key=1, total_steps=100, device="cpu")


def imagination(game, **settings):
    spec = spec_of(game)
    computed = {name: settings.pop(name) for name in ("precision", "backend") if name in settings}
    network = MuZeroNetwork(MuZeroConfig(**SMALL | settings), spec, generator_of(3))
    return MuZeroInference(network, spec, "cpu", **computed)


def trained(folder, steps=600, stretch=300, game=GAME, opponents=(), num_envs=8, **settings):
    config = TrainConfig(
        game=game,
        algorithm={"name": "muzero"} | SMALL | settings,
        steps=steps,
        stretch=stretch,
        num_envs=num_envs,
        rollout_length=8,
        opponents={"agents": opponents, "share": 0.5},
        evaluation={"panel": ["random"], "seeds": 2},
    )
    return train(config, folder, resume=(folder / "config.yaml").exists(), device="cpu")


def played(made, game=GAME, num_envs=16, length=12, strangers=()):
    """Let a learner's actor play, against strangers in seat 1 of every other game, and learn from it."""
    venv = make(game, num_envs)
    roster = [*made.actors(), *strangers]
    seating = np.zeros((num_envs, venv.spec.num_players), np.int64)
    if strangers:
        seating[::2, 1] = 1
    carry = Carry(venv, roster, fold(0, np.arange(len(roster))), fold(1, np.arange(num_envs)))
    return made.update(rollout(venv, roster, seating, carry, length), [0])


def test_hidden_states_are_scaled():
    hidden = torch.tensor([[[2.0, 4.0], [3.0, 2.0]], [[-1.0, 0.0], [0.0, 1.0]]])
    expected = torch.tensor([[[0.0, 1.0], [0.5, 0.0]], [[0.0, 0.5], [0.5, 1.0]]])
    torch.testing.assert_close(rescaled(hidden), expected, atol=1e-4, rtol=0)
    assert rescaled(torch.full((1, 3), 7.0)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("encoder", ["residual", "mlp"])
def test_every_hidden_state_is_within_bounds(encoder):
    made = imagination(GAME, encoder=encoder)
    first = made.initial(np.random.default_rng(0).random((7, 3, 3, 3), np.float32), np.arange(7) % 2)
    then = made.recurrent(first.hidden, np.arange(7), first.mover)
    for hidden in (first.hidden, then.hidden):
        flat = hidden.reshape(7, -1)
        assert (flat.min(1) == 0).all() and flat.max(1) == pytest.approx(np.ones(7), abs=1e-4)


def test_the_gradient_into_the_dynamics_is_halved():
    x = torch.tensor([3.0], requires_grad=True)
    y = halved(halved(x)) * 8
    y.backward()
    assert y == 24 and x.grad == 2


@pytest.mark.parametrize("encoder", ["residual", "mlp"])
def test_an_unroll_says_what_inference_says_step_by_step(encoder):
    spec = spec_of(GAME)
    network = MuZeroNetwork(MuZeroConfig(**SMALL | {"encoder": encoder}), spec, generator_of(3)).eval()
    made = MuZeroInference(network, spec, "cpu")
    views, movers = np.random.default_rng(0).random((5, 3, 3, 3), np.float32), np.arange(5) % 2
    actions = np.arange(10).reshape(5, 2) % 9
    said, ways = network.unroll(*(torch.from_numpy(a) for a in (views, movers, actions)))
    here = made.initial(views, movers)
    for k in range(3):
        np.testing.assert_allclose(here.logits, said[:, k, :9].detach(), atol=1e-5)
        if k < 2:
            here = made.recurrent(here.hidden, actions[:, k], np.zeros(5, int))  # the first player's seat is as good
            reward = ways[:, k, :2].detach().numpy()
            np.testing.assert_allclose(here.reward, reward, atol=1e-5)
            assert (here.mover == ways[:, k, 2:].argmax(1).numpy()).all()


@pytest.mark.processor
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("encoder", ["residual", "mlp"])
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_what_is_imagined_does_not_depend_on_batch_mates(backend, encoder, precision):
    computed = {"precision": precision, "backend": backend}
    made = imagination("openspiel:connect_four", encoder=encoder, hidden=(24, 20), **computed)
    views, movers = np.random.default_rng(0).random((107, 3, 6, 7), np.float32), np.arange(107) % 2
    first = made.initial(views, movers)
    then = made.recurrent(first.hidden, np.arange(107) % 7, movers)
    for rows in (slice(0, 5), slice(0, 41), slice(63, 64), slice(99, 107)):
        some = made.initial(views[rows], movers[rows])
        more = made.recurrent(some.hidden, np.arange(107)[rows] % 7, movers[rows])
        for alone, together in ((some, first), (more, then)):
            for name in ("hidden", "mover", "reward", "logits", "value"):
                assert (getattr(alone, name) == getattr(together, name)[rows]).all(), name


def test_rewards_values_and_turns_are_told_to_the_right_players():
    """The network speaks of the mover first: of who moved, where it says what a move was paid."""
    spec = replace(spec_of(GAME), num_players=3, payoff="general_sum")
    network = MuZeroNetwork(MuZeroConfig(**SMALL | {"encoder": "mlp"}), spec, generator_of(0))
    with torch.no_grad():
        for layer, bias in ((network.prediction.value, [0.9, 0.5, -0.3]), (network.transition[-1], [1, 2, 3, 0, 5, 0])):
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor(bias))
    made = MuZeroInference(network, spec, "cpu")
    first = made.initial(np.zeros((3, *spec.observation.shape), np.float32), np.arange(3))
    said = np.tanh([0.9, 0.5, -0.3])
    for mover in range(3):
        assert first.value[mover] == pytest.approx(np.roll(said, mover), abs=1e-5)
    then = made.recurrent(first.hidden, np.zeros(3, np.int64), np.arange(3))
    assert then.mover.tolist() == [1, 2, 0]
    assert then.reward.tolist() == [[1, 2, 3], [3, 1, 2], [2, 3, 1]]
    assert then.value[0] == pytest.approx(np.roll(said, 1), abs=1e-5)


def rows_of(left, cut, searched=(True, True, True), root_value=None):
    """Return an unroll, by two steps, of the last positions of a game: player 0 twice, then player 1."""
    at = np.minimum(np.arange(3), left) + 2 - left
    outcome = np.array([[0.5, -0.5], [0.25, -0.25], [1.0, -1.0]])
    root_value = outcome * 0.1 if root_value is None else np.array(root_value)
    fields = {
        "player": np.array([0, 0, 1])[at],
        "policy": np.eye(3, dtype=np.float32)[at],
        "searched": np.array(searched)[at],
        "outcome": outcome[at],
        "root_value": root_value[at],
        "reward": np.array([[0.25, -0.25], [-0.75, 0.75], [1.0, -1.0]])[at],
        "left": (2 - np.arange(3))[at],
        "cut": np.array([cut] * 3),
    }
    return {name: rows[None] for name, rows in fields.items()}


def test_targets_within_a_game():
    target = targets(rows_of(2, False), spec_of(GAME), 0.0)
    assert target.value[0].tolist() == [[0.5, -0.5], [0.25, -0.25], [-1, 1]]  # the last is player 1's
    assert target.reward[0].tolist() == [[0.25, -0.25], [-0.75, 0.75]]
    assert target.turns[0].tolist() == [0, 1]
    for weight in (target.policy_weight, target.value_weight, target.reward_weight, target.turns_weight):
        assert (weight == 1).all()
    mixed = targets(rows_of(2, False), spec_of(GAME), 0.5)
    assert mixed.value[0, 0] == pytest.approx([0.275, -0.275])


def test_after_its_end_a_game_pays_nothing():
    target = targets(rows_of(0, False), spec_of(GAME), 0.0)
    assert target.value[0].tolist() == [[-1, 1], [0, 0], [0, 0]]
    assert target.reward[0].tolist() == [[-1, 1], [0, 0]]  # of the last move, seen from player 1, then none
    assert target.policy_weight[0].tolist() == [1, 0, 0] and target.turns_weight[0].tolist() == [0, 0]
    assert target.value_weight[0].tolist() == [1, 1, 1] and target.reward_weight[0].tolist() == [1, 1]


def test_after_a_cut_nobody_knows():
    target = targets(rows_of(1, True), spec_of(GAME), 0.0)
    assert target.policy_weight[0].tolist() == target.value_weight[0].tolist() == [1, 1, 0]
    assert target.reward_weight[0].tolist() == target.turns_weight[0].tolist() == [1, 0]


def test_a_strangers_position_has_no_policy_to_learn():
    root_value = [[0.1, -0.1], [np.nan, np.nan], [0.1, -0.1]]
    target = targets(rows_of(2, False, (True, False, True), root_value), spec_of(GAME), 0.5)
    assert target.policy_weight[0].tolist() == [1, 0, 1] and target.value_weight[0].tolist() == [1, 1, 1]
    assert target.value[0, 1].tolist() == [0.25, -0.25]  # how it went is all there is
    cut = rows_of(2, True, (True, False, True), root_value)
    cut["outcome"] = cut["root_value"]
    assert targets(cut, spec_of(GAME), 0.0).value_weight[0].tolist() == [1, 0, 1]


def test_loss_by_hand():
    """Two steps after the first count half; of equal logits every action costs log 3, every mover log 2."""
    rows = targets(rows_of(1, False), spec_of(GAME), 0.0)
    target = Targets(**{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in vars(rows).items()})
    total, metrics = loss(torch.zeros(1, 3, 5), torch.zeros(1, 2, 4), target, 3.0)
    values, rewards = [0.25**2, 1.0, 0.0], [0.75**2, 1.0]  # squared, of two players who are paid opposite sums
    unrolled = [np.log(3) + values[1] + 3 * rewards[0] + np.log(2), values[2] + 3 * rewards[1]]
    assert total == pytest.approx(np.log(3) + values[0] + sum(unrolled) / 2, rel=1e-5)
    assert metrics["unrolled_value_loss"] == pytest.approx(0.5) and metrics["mover_loss"] == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    "settings", [{}, {"rule": "gumbel", "reanalyse": 8, "root_value_share": 0.5}, {"value_head": "hl_gauss"}]
)
def test_resumed_is_the_same_to_the_byte(settings, tmp_path):
    settings = settings | {"opponents": ["random"], "steps": 320, "stretch": 160}
    whole = trained(tmp_path / "whole", **settings)
    trained(tmp_path / "parts", **settings | {"steps": 160})
    parts = trained(tmp_path / "parts", **settings)
    assert whole.name == parts.name
    for name in ("agent.safetensors", "learner.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_a_checkpoint_plays_as_the_learner_does(tmp_path):
    folder = trained(tmp_path / "run", steps=300)
    assert checkpoint.read(folder)["algorithm"] == "muzero"
    venv = make(GAME, 4)
    for arguments in ("", "(simulations=3)", "(search=false)", "(search=false, greedy=true)"):
        entrant = load_entrant(f"{folder}{arguments}", venv.spec)
        assert evaluate_entrant(venv, entrant, load_entrant("random", venv.spec), seeds=3, key=0).episodes == 6
    with pytest.raises(UserError, match="at least 1 simulation, got 0"):
        load_entrant(f"{folder}(simulations=0)", venv.spec)


def test_actors_can_be_sent_to_another_process():
    made = learner()
    (actor,) = made.actors()
    twin = ForkingPickler.loads(ForkingPickler.dumps(actor))
    results = []
    for agent in (actor, twin):
        venv = make(GAME, 4)
        carry = Carry(venv, [agent], fold(0, np.arange(1)), fold(1, np.arange(4)))
        results.append(rollout(venv, [agent], np.zeros((4, 2), np.int64), carry, 4).action)
    assert (results[0] == results[1]).all()


def test_reanalyse_renews_what_old_searches_found():
    made = learner(reanalyse=64, simulations=12)
    played(made, length=14)
    before = {name: rows.copy() for name, rows in made.replay._rows.items()}
    for _ in range(20):
        made._learn()
    made.inference.renew(made.network)
    made._reanalyse(200)
    kept = len(made.replay)
    changed = (made.replay._rows["root_value"] != before["root_value"]).any(1)[:kept]
    assert changed.mean() > 0.5  # 200 draws of some 200 positions
    assert (made.replay._rows["policy"] != before["policy"]).any(1)[:kept][changed].mean() > 0.5
    for name in ("obs", "action", "player", "reward", "left"):
        assert (made.replay._rows[name] == before[name]).all()
    policy = made.replay._rows["policy"][: len(made.replay)]
    assert policy.sum(1) == pytest.approx(np.ones(len(policy)), abs=1e-5)
    assert (policy[~made.replay._rows["action_mask"][: len(made.replay)]] == 0).all()


def test_strangers_get_a_policy_when_they_are_reanalysed():
    made = learner()
    metrics = played(made, length=14, strangers=[load_entrant("random", made.spec).agent])
    searched = made.replay._rows["searched"]
    assert not searched[: len(made.replay)].all() and all(np.isfinite(value) for value in metrics.values())
    made._reanalyse(2000)
    assert searched[: len(made.replay)].all()


@pytest.mark.parametrize(
    ("game", "said"),
    [
        ("openspiel:leduc_poker", "hides information"),
        ("openspiel:pig", "has chance"),
        ("openspiel:goofspiel", "at the same time"),
        ("spread", "at the same time"),
        (f"{GAME} | agent_id", "leave the wrappers out"),
    ],
)
def test_games_that_it_cannot_learn_are_refused(game, said):
    with pytest.raises(UserError, match=said) as caught:
        learner(game)
    assert "muzero" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("game", "settings", "said"),
    [
        ("openspiel:nim", {"encoder": "residual"}, "three axes"),
        (GAME, {"replay_positions": 8}, "at least batch_size, 16, got 8"),
    ],
)
def test_settings_that_cannot_work_are_refused(game, settings, said):
    with pytest.raises(UserError, match=said):
        learner(game, **settings)


@pytest.mark.parametrize("settings", [{"simulations": 0}, {"unroll_steps": 0}, {"hidden": ()}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValidationError):
        MuZeroConfig(**settings)


def test_a_distribution_needs_the_bounds_of_the_returns():
    unbounded = replace(spec_of(GAME), return_bounds=None)
    for head in ("categorical", "hl_gauss"):
        with pytest.raises(
            UserError, match=f"{head} needs the range of the returns, .* has no return_bounds; add them"
        ):
            MuZero(MuZeroConfig(**SMALL, value_head=head), unbounded, key=1, total_steps=100, device="cpu")


def test_it_needs_no_positions_and_no_bounds(tmp_path):
    """PettingZoo's games have neither: returns are learned as they are."""
    pytest.importorskip("rlcard")
    trained(tmp_path / "run", steps=100, stretch=100, game="pettingzoo:classic.tictactoe_v3")


def test_a_player_may_move_twice(tmp_path):
    trained(tmp_path / "run", steps=300, game="openspiel:mancala", replay_positions=500)


def test_learns_what_a_tiny_game_pays():
    """Nim of one pile of three: to take all wins at once, and the network says so, reward and turn included."""
    game = "openspiel:nim(pile_sizes=1;3,is_misere=false)"
    small = {"batch_size": 32, "hidden": (32,), "steps_per_update": 8, "simulations": 4, "reward_weight": 16}
    made = learner(game, learning_rate=5e-3, **small)
    for _ in range(4):
        metrics = played(made, game, num_envs=32, length=24)
    assert metrics["reward_loss"] < 0.02 and metrics["mover_loss"] < 0.02
    assert metrics["unrolled_value_loss"] < 0.1


@pytest.mark.slow
def test_learns_tic_tac_toe(tmp_path):
    better = {"simulations": 24, "channels": 32, "blocks": 2, "batch_size": 128, "unroll_steps": 5}
    better |= {"learning_rate": 3e-3, "reward_weight": 16}
    folder = trained(tmp_path / "run", steps=15_000, stretch=7_500, num_envs=64, **better)
    before = trained(tmp_path / "before", steps=1, stretch=1, num_envs=64, **better)
    venv = make(GAME, 32)
    random = load_entrant("random", venv.spec)
    result, start = (
        evaluate_entrant(venv, load_entrant(str(run), venv.spec), random, seeds=100, key=0) for run in (folder, before)
    )
    assert min(result.return_mean) > 0.6
    assert sum(start.return_mean) < sum(result.return_mean) - 0.5
