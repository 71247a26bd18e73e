"""AlphaZero: what it learns is what the search found, it resumes exactly, and it learns something tiny."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrant
from marl.algorithms.zero.alphazero import AlphaZero, AlphaZeroConfig, loss
from marl.algorithms.zero.networks import PolicyValue, PolicyValueInference, folded, head_of
from marl.evaluation.evaluate import evaluate_entrant
from marl.learning.networks import generator_of
from marl.learning.value_heads import value_head
from marl.rollout.loop import Carry, play_episodes, rollout
from marl.search.values import scaled, unscaled
from marl.training.config import TrainConfig
from marl.training.train import train

GAME = "openspiel:tic_tac_toe"
SMALL = {"simulations": 8, "channels": 8, "blocks": 1, "batch_size": 16, "steps_per_update": 16, "sampled_moves": 3}


def spec_of(game):
    return make(game, 1).spec


def learner(game=GAME, **settings):
    return AlphaZero(AlphaZeroConfig(**SMALL | settings), spec_of(game), key=1, total_steps=100, device="cpu")


def network_of(spec, encoder="auto", hidden=(4,), head="scalar"):
    made = head_of(AlphaZeroConfig(value_head=head), spec)
    return PolicyValue(spec, generator_of(3), encoder=encoder, hidden=hidden, channels=8, blocks=1, head=made)


def trained(folder, steps=600, stretch=300, game=GAME, rollout_workers=0, **settings):
    algorithm = {"name": "alphazero"} | SMALL | settings
    evaluation = {"panel": ["random"], "seeds": 2}
    config = TrainConfig(
        game=game,
        algorithm=algorithm,
        steps=steps,
        stretch=stretch,
        num_envs=8,
        rollout_length=8,
        rollout_workers=rollout_workers,
        evaluation=evaluation,
    )
    return train(config, folder, resume=(folder / "config.yaml").exists(), device="cpu")


@pytest.mark.parametrize("anneal, rates", [(True, [1e-3, 5e-4]), (False, [1e-3, 1e-3])])
def test_the_last_generation_is_learned_from(anneal, rates):
    """Two trajectories of 50 steps each in a run of 100: the rate is that of the step at which each began."""
    made, venv = learner(anneal=anneal), make(GAME, 10)
    made.total_steps = 100
    carry = Carry(venv, made.actors(), np.array([2], np.uint64), fold(3, np.arange(10)))
    seating, found = np.zeros((10, 2), np.int64), []
    while made.steps < 100:
        recording = rollout(venv, made.actors(), seating, carry, 5)
        recording.first[recording.recorded + 1 :] = False  # so that each has 50 steps
        before = [weight.clone() for weight in made.network.parameters()]
        metrics = made.update(recording, [0])
        found.append(metrics["learning_rate"])
    moved = [not torch.equal(old, new) for old, new in zip(before, made.network.parameters(), strict=True)]
    assert found == pytest.approx(rates) and any(moved)


def test_the_folded_network_says_the_same():
    spec = spec_of("openspiel:connect_four")
    network = network_of(spec)
    views, movers = torch.rand(40, 3, 6, 7), torch.arange(40) % 2
    for _ in range(5):
        network.train()(network.encode(views, movers))  # batch normalisation gets means and deviations of its own
    x = network.encode(views, movers)
    for parameter in (network.policy.weight, network.value.weight):  # heads that begin near 0 would say nothing
        torch.nn.init.normal_(parameter, generator=generator_of(5))
    torch.testing.assert_close(folded(network)(x), network.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.processor
@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("head, precision", [("scalar", "float32"), ("scalar", "bfloat16"), ("hl_gauss", "float32")])
def test_what_the_judge_says_does_not_depend_on_batch_mates(head, precision, backend):
    spec = spec_of("openspiel:connect_four")
    judge = PolicyValueInference(network_of(spec, head=head), spec, "cpu", precision=precision, backend=backend)
    views = np.random.default_rng(0).random((107, 3, 6, 7), np.float32)
    movers = np.arange(107) % 2
    logits, values = judge(views, movers)
    for few in (5, 20, 41):
        some = judge(views[:few], movers[:few])
        assert (some[0] == logits[:few]).all() and (some[1] == values[:few]).all()
    for row in (0, 63, 64, 99, 106):
        alone = judge(views[row : row + 1], movers[row : row + 1])
        assert (alone[0][0] == logits[row]).all() and (alone[1][0] == values[row]).all()
    assert values.sum(1) == pytest.approx(np.zeros(107))


def test_values_are_told_to_the_right_players():
    """The network speaks of the mover first."""
    spec = spec_of("openspiel:pig(players=3)")
    network = network_of(spec, "mlp")
    with torch.no_grad():
        network.value.weight.zero_()
        network.value.bias.copy_(torch.tensor([0.9, 0.5, -0.3]))
    said = torch.tanh(torch.tensor([0.9, 0.5, -0.3])).tolist()
    views = np.zeros((3, *spec.observation.shape), np.float32)
    _, values = PolicyValueInference(network, spec, "cpu")(views, np.arange(3))
    values = scaled(values, spec)
    assert values[0] == pytest.approx(said, abs=1e-5)
    assert values[1] == pytest.approx([said[2], said[0], said[1]], abs=1e-5)
    assert values[2] == pytest.approx([said[1], said[2], said[0]], abs=1e-5)


@pytest.mark.parametrize("head", ["categorical", "hl_gauss"])
def test_a_search_is_told_the_expectation_of_a_distribution(head):
    """Half of the mover's probability at each of two bins: their mean, in the units of the game."""
    spec = spec_of("openspiel:pig(players=3)")
    network = network_of(spec, "mlp", head=head)
    support = network.head.values
    with torch.no_grad():
        network.value.weight.zero_()
        bias = torch.full((3, 51), -100.0)
        bias[0, 10], bias[0, 20], bias[1, 30], bias[2, 5] = 0.0, 0.0, 0.0, 0.0
        network.value.bias.copy_(bias.flatten())
    views = np.zeros((2, *spec.observation.shape), np.float32)
    _, values = PolicyValueInference(network, spec, "cpu")(views, np.array([0, 1]))
    told = [((support[10] + support[20]) / 2).item(), support[30].item(), support[5].item()]
    assert scaled(values, spec)[0] == pytest.approx(told, abs=1e-5)
    assert scaled(values, spec)[1] == pytest.approx([told[2], told[0], told[1]], abs=1e-5)


def test_the_loss_of_a_distribution_by_hand():
    """Uniform logits against outcomes that are values of bins: ln 51; the expectation 0 is off by 1."""
    head = value_head(AlphaZeroConfig(value_head="categorical"), (-1.0, 1.0))
    output = torch.zeros(2, 3 + 51)
    every = torch.ones(2, 3, dtype=torch.bool)
    policy = torch.tensor([[1.0, 0.0, 0.0]] * 2)
    total, metrics = loss(output, every, policy, torch.tensor([[1.0], [-1.0]]), torch.tensor([True, True]), head)
    assert metrics["value_loss"] == pytest.approx(np.log(51)) and total == pytest.approx(np.log(51) + np.log(3))
    assert metrics["value_error"] == pytest.approx(1) and metrics["clipped_targets"] == 0


def test_scaled_and_back():
    spec = spec_of("openspiel:backgammon")
    value = np.array([[1.0, -1.0], [0.25, -0.25]])
    np.testing.assert_allclose(unscaled(scaled(value, spec), spec), value)


def test_loss_by_hand():
    said = torch.tensor([[0.0, 0.0, 5.0, 0.5], [1.0, 0.0, 0.0, -1.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    policy = torch.tensor([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
    total, metrics = loss(said, mask, policy, torch.tensor([[1.0], [-1.0]]), torch.tensor([True, False]))
    assert metrics["policy_loss"] == pytest.approx(np.log(2))  # the second position was searched cheaply
    assert metrics["value_loss"] == pytest.approx(0.125)
    assert total == pytest.approx(np.log(2) + 0.125)


RESIGNING = {"resign_below": -0.1, "no_resign_share": 0.5, "cheap_simulations": 2}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, marks=pytest.mark.processor),
        {"rule": "gumbel", "cheap_share": 0.5, "root_value_share": 0.5},
        RESIGNING,
        {"value_head": "hl_gauss"},
        {"value_head": "categorical", "encoder": "mlp", "backend": "torch"},
    ],
)
def test_resumed_is_the_same_to_the_byte(settings, tmp_path):
    settings = settings | {"steps": 320, "stretch": 160}
    whole = trained(tmp_path / "whole", **settings)
    trained(tmp_path / "parts", **settings | {"steps": 160})
    parts = trained(tmp_path / "parts", **settings)
    assert whole.name == parts.name
    for name in ("agent.safetensors", "learner.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_a_checkpoint_plays_as_the_learner_does(tmp_path):
    folder = trained(tmp_path / "run", steps=300)
    assert checkpoint.read(folder)["algorithm"] == "alphazero"
    venv = make(GAME, 4)
    for text in (
        str(folder),
        f"{folder}(simulations=3)",
        f"{folder}(search=false)",
        f"{folder}(search=false, greedy=true)",
    ):
        assert (
            evaluate_entrant(
                venv, load_entrant(text, venv.spec), load_entrant("random", venv.spec), seeds=3, key=0
            ).episodes
            == 6
        )
    for argument in ("simulations=9", "solve=true", "sampled_moves=2", "reuse=true", "leaves=2"):
        with pytest.raises(UserError, match=f"search=false plays .* alone, got {argument.partition('=')[0]} too"):
            load_entrant(f"{folder}(search=false, {argument})", venv.spec)
    load_entrant(f"{folder}(leaves=4)", venv.spec)
    with pytest.raises(UserError, match="at least 1 leaf at a time, got leaves=0"):
        load_entrant(f"{folder}(leaves=0)", venv.spec)
    with pytest.raises(UserError, match="greedy=true plays the mode of the network's policy alone; add search=false"):
        load_entrant(f"{folder}(greedy=true)", venv.spec)
    with pytest.raises(UserError, match="samples 0 or more of its first moves, got sampled_moves=-1"):
        load_entrant(f"{folder}(sampled_moves=-1)", venv.spec)
    with pytest.raises(UserError, match="at least 1 simulation, got 0"):
        load_entrant(f"{folder}(simulations=0)", venv.spec)


def test_cheap_moves_are_marked():
    made = learner(cheap_share=0.5, cheap_simulations=2, solve=False)
    trajectory = recorded(made, steps=2)
    full = trajectory.extras["searched"][trajectory.acting[:-1]]
    assert 0.3 < full.mean() < 0.7
    policy = trajectory.extras["policy"][trajectory.acting[:-1]]
    assert policy.sum(1) == pytest.approx(np.ones(len(policy)), abs=1e-5)
    assert ((policy[~full] * 2).round(5) % 1 == 0).all()  # of two simulations


def recorded(made, steps=8, num_envs=64):
    venv = make(GAME, num_envs)
    carry = Carry(venv, made.actors(), fold(0, np.arange(1)), fold(1, np.arange(num_envs)))
    return rollout(venv, made.actors(), np.zeros((num_envs, 2), np.int64), carry, steps)


def test_who_has_given_up_plays_on_cheaply():
    made = learner(resign_below=1.0, no_resign_share=0.25, cheap_simulations=2, solve=False)  # all give up at once
    trajectory = recorded(made, steps=5)
    assert not trajectory.first[1:].any()
    full, would = (trajectory.extras[name] for name in ("searched", "would_resign"))
    for player in (0, 1):
        mine = trajectory.acting[:-1, :, player]
        assert (mine == (np.arange(5) % 2 == player)[:, None]).all()
        first, later = full[player, :, player], full[player + 2 :: 2, :, player]
        stays = would[player, :, player]
        assert first.all() and 0.1 < stays.mean() < 0.4
        assert (later == stays).all() and not would[player + 2 :: 2, :, player].any()  # said once a game
    assert (would[0, :, 0] != would[1, :, 1]).any()  # each player decides for itself


def test_nobody_gives_up_unless_told_to():
    trajectory = recorded(learner(no_resign_share=0.0))
    assert trajectory.extras["searched"][trajectory.acting[:-1]].all() and "would_resign" not in trajectory.extras


def test_wrong_resignations_are_counted():
    made = learner(resign_below=1.0, no_resign_share=1.0, simulations=2)
    trajectory = recorded(made, steps=10)
    metrics = made.update(trajectory, [0])
    ended = trajectory.terminated[1:].all(2)
    assert ended.any(0).all()  # every game has ended once; nobody has given up, and all would have
    outcome = np.array([trajectory.reward[: end + 1, e].sum(0) for e, end in enumerate(ended.argmax(0))])
    assert metrics["resigned_wrongly"] == pytest.approx((outcome >= 0).mean(), abs=1e-6)
    assert "resigned_wrongly" not in learner(simulations=2).update(trajectory, [0])


def test_a_kept_tree_is_an_argument_of_players(tmp_path):
    folder, venv = trained(tmp_path / "run", steps=1, stretch=1), make(GAME, 4)
    keeping = load_entrant(f"{folder}(reuse=true)", venv.spec)
    assert evaluate_entrant(venv, keeping, load_entrant("random", venv.spec), seeds=3, key=0).episodes == 6
    assert keeping.digest != load_entrant(str(folder), venv.spec).digest
    folder = trained(tmp_path / "gumbel", steps=1, stretch=1, rule="gumbel")
    with pytest.raises(UserError, match="reuse=true starts from the visits of an earlier search"):
        load_entrant(f"{folder}(reuse=true)", venv.spec)


def test_first_moves_are_sampled_where_games_should_differ(tmp_path):
    folder, venv = trained(tmp_path / "run", steps=300), make(GAME, 4)
    games = {}
    for text in (f"{folder}(sampled_moves=2)", str(folder)):
        agent = load_entrant(text, venv.spec).agent
        seats = np.zeros((8, 2), np.int64)
        played = play_episodes(venv, [agent], np.array([1], np.uint64), fold(2, np.arange(8)), seats)
        games[text] = {episode.moves.tobytes() for episode in played}
    assert [len(found) for found in games.values()] == [8, 1]


def test_workers_play_resigning_games_alike(tmp_path):
    runs = [trained(tmp_path / str(n), steps=320, stretch=160, rollout_workers=n, **RESIGNING) for n in (1, 3)]
    assert runs[0].name == runs[1].name
    assert len({(run / "agent.safetensors").read_bytes() for run in runs}) == 1


@pytest.mark.parametrize(
    "game", ["openspiel:leduc_poker", "openspiel:goofspiel", "spread", "matrix(game=chicken)", f"{GAME} | agent_id"]
)
def test_games_that_it_cannot_search_are_refused(game):
    with pytest.raises(UserError, match="alphazero"):
        learner(game)


def test_a_search_without_simulations_is_refused():
    with pytest.raises(ValidationError, match="simulations"):
        AlphaZeroConfig(simulations=0)


@pytest.mark.parametrize(
    ("game", "settings", "said"),
    [
        ("openspiel:pig", {"encoder": "residual"}, "three axes"),
        (GAME, {"replay_positions": 8}, "at least batch_size, 16, got 8"),
    ],
)
def test_settings_that_cannot_work_are_refused(game, settings, said):
    with pytest.raises(UserError, match=said):
        learner(game, **settings)


def test_a_network_of_another_board_is_refused(tmp_path):
    folder = trained(tmp_path / "run", steps=300)
    with pytest.raises(UserError, match="tic_tac_toe"):
        load_entrant(str(folder), spec_of("openspiel:connect_four"))


def test_a_run_searches_only_where_there_are_positions(tmp_path):
    folder, spec = trained(tmp_path / "run", steps=300), spec_of(GAME)
    elsewhere = replace(spec, searchable=False)
    with pytest.raises(UserError, match=r"alphazero needs positions to search, .* with env_workers: 0"):
        load_entrant(str(folder), elsewhere)
    load_entrant(f"{folder}(search=false)", elsewhere)


def test_three_players_and_chance(tmp_path):
    trained(tmp_path / "run", steps=300, game="openspiel:pig(players=3,winscore=10)")


def test_uct_plays_every_game_of_turns():
    venv = make("openspiel:tic_tac_toe", 10)
    spec = venv.spec
    result = evaluate_entrant(
        venv, load_entrant("uct(simulations=100)", spec), load_entrant("random", spec), seeds=100, key=0
    )
    assert min(result.return_mean) > 0.6
    draws = list(
        play_episodes(
            venv,
            [load_entrant("uct(simulations=400)", spec).agent] * 2,
            fold(0, np.arange(2)),
            fold(1, np.arange(10)),
            np.tile([0, 1], (10, 1)),
        )
    )
    assert np.mean([episode.returns[0] == 0 for episode in draws]) > 0.6


@pytest.mark.slow
def test_learns_tic_tac_toe(tmp_path):
    """Its policy alone, which has seen a search's policies and no opponent, hardly loses to random."""
    folder = trained(tmp_path / "run", steps=12_000, stretch=6_000, simulations=24, channels=16, batch_size=64)
    venv = make(GAME, 32)
    spec = venv.spec
    result = evaluate_entrant(
        venv, load_entrant(f"{folder}(search=false, greedy=true)", spec), load_entrant("random", spec), seeds=100, key=0
    )
    before = trained(tmp_path / "before", steps=1, stretch=1, simulations=24, channels=16)
    start = evaluate_entrant(
        venv, load_entrant(f"{before}(search=false, greedy=true)", spec), load_entrant("random", spec), seeds=100, key=0
    )
    assert min(result.return_mean) > 0.5
    assert sum(start.return_mean) < sum(result.return_mean) - 0.5
