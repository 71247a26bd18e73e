"""What IPPO and MAPPO share: losses by hand, rows that must not matter, memory, and how an update ends."""

import numpy as np
import pytest
import torch

from games.registry import make
from marl.algorithms.policy_gradient import ppo
from marl.algorithms.policy_gradient.batch import packed
from marl.algorithms.policy_gradient.ppo import actor_loss, critic_loss
from marl.learning.networks import log_prob_and_entropy
from marl.rollout.types import under
from tests.marl.algorithms.policy_gradient.games import Player, Skirmish

KINDS = pytest.mark.parametrize(
    "name, settings",
    [
        ("ippo", {}),
        ("ippo", {"recurrent": True}),
        ("ippo", {"recurrent": True, "share_parameters": False}),
        ("mappo", {}),
        ("mappo", {"recurrent": True, "share_parameters": ((0, 2), (1,))}),
    ],
)


def test_losses_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    chosen = log_prob_and_entropy(logits, torch.ones(2, 2, dtype=torch.bool), torch.tensor([0, 0]))
    old = torch.log(torch.tensor([0.25, 0.9]))
    # Ratios 2 (clipped to 1.2, for A = 1) and 1 (A = -2).
    loss, metrics = actor_loss(*chosen, old, torch.tensor([1.0, -2.0]), clip=0.2, entropy_coefficient=0.1)
    entropy = (np.log(2) + -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))) / 2
    assert loss.item() == pytest.approx(-(1.2 - 2.0) / 2 - 0.1 * entropy)
    assert metrics["clip_fraction"].item() == 0.5
    assert metrics["approx_kl"].item() == pytest.approx((2 - 1 - np.log(2)) / 2)
    assert critic_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).item() == 1.0


def test_the_clipped_surrogate_by_hand():
    """Ratio 2 and 1/2 with either sign: only steps that went too far in the good direction lose their gradient."""
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0])
    old = torch.log(torch.tensor([0.25, 0.5, 0.25, 0.5]))
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]).repeat(2, 1)).requires_grad_()
    chosen = log_prob_and_entropy(logits, torch.ones(4, 2, dtype=torch.bool), torch.zeros(4, dtype=torch.int64))
    loss, metrics = actor_loss(*chosen, old, advantage, clip=0.2, entropy_coefficient=0)
    assert loss.item() == pytest.approx(-(1.2 + 0.5 - 2.0 - 0.8) / 4)
    assert metrics["policy_loss"].item() == pytest.approx(loss.item()) and metrics["clip_fraction"].item() == 1.0
    loss.backward()
    assert (logits.grad.abs().sum(1) > 1e-6).tolist() == [False, True, True, False]


def test_the_critics_losses_by_hand():
    value, target, old = torch.tensor([3.0, 0.5, 0.0]), torch.tensor([1.0, 1.0, 4.0]), torch.tensor([1.1, 0.0, 0.0])
    # Errors 2, 1/2 and 4; the clipped values are 1.3, 0.2 and 0: errors 0.3, 0.8 and 4.
    assert critic_loss(value, target, huber_delta=1.0).item() == pytest.approx((1.5 + 0.125 + 3.5) / 3)
    assert critic_loss(value, target, old, clip=0.2).item() == pytest.approx((2 + 0.32 + 8) / 3)
    assert critic_loss(value, target, old, clip=0.2, huber_delta=1.0).item() == pytest.approx((1.5 + 0.32 + 3.5) / 3)


@KINDS
def test_the_ratio_is_one_in_the_first_minibatch_alone(monkeypatch, name, settings):
    """What acting has recorded is what training computes before it has moved: masks, players, memories all fit."""
    ratios = []

    def noting(log_prob, entropy, old_log_prob, advantage, **options):
        ratios.append((log_prob - old_log_prob).exp().detach().numpy())
        return actor_loss(log_prob, entropy, old_log_prob, advantage, **options)

    monkeypatch.setattr(ppo, "actor_loss", noting)
    player = Player(name, Skirmish(32), minibatch_size=64, learning_rate=3e-3, epochs=4, **settings)
    player.rollout(10)
    player.learn(1, length=10)  # it opens in the middle of episodes, and has decisions that were left open before
    assert len(ratios) >= 12
    np.testing.assert_allclose(ratios[0], 1, atol=1e-5)
    assert all(np.abs(ratio - 1).max() > 1e-3 for ratio in ratios[-3:])


@KINDS
def test_rows_of_who_does_not_act_change_nothing(name, settings):
    """The views, actions, extras and masks of players who wait or are dead are noise: the same weights, to the bit."""
    states = []
    for noise in (0.0, 1e6):
        waits = name == "ippo" or "recurrent" in settings
        player = Player(name, Skirmish(16, noise, waits=waits, state=waits), **settings)
        for length in (7, 12):
            trajectory = player.rollout(length)
            idle = ~trajectory.acting[:-1]
            assert idle.any()
            trajectory.action[idle] = int(noise) % 3
            for extra in trajectory.extras.values():
                extra[idle] = noise
            unread = trajectory.index[trajectory.truncated & (trajectory.index >= 0)]
            trajectory.action_mask[unread] = noise > 0
            player.learner.update(trajectory, [0])
        states.append(player.learner.state())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", ["ippo", "mappo"])
def test_hidden_states_are_the_same_in_acting_and_in_training(name):
    """Unrolled chunks, at any place of an episode with waits and deaths, pass through the states of the actor."""
    player = Player(name, Skirmish(16), recurrent=True, share_parameters=False)
    for length in (9, 11, 16):
        trajectory = player.rollout(length)
        for model, batch in zip(player.learner.models, player.batches(trajectory), strict=True):
            rows, sizes = packed(batch.chunks)
            obs, who = (batch.columns[key][rows] for key in ("obs", "player"))
            recorded = batch.columns["actor_hidden"][rows]
            features = model.actor.features(obs, who)
            _, hidden = model.actor.body(features, sizes, recorded[: sizes[0]])
            starts = np.cumsum([0, *sizes])
            for d, size in enumerate(sizes[1:]):  # the states after one decision are those before the next
                after, before = hidden[starts[d] :][:size], recorded[starts[d + 1] :][:size]
                torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
            assert len(sizes) == 4 and recorded[: sizes[0]].abs().max() > 1e-2


def test_who_plays_for_itself_does_not_discount_by_the_decisions_of_others():
    """The second player of Kuhn poker decides once, and is paid 1 or 2, whether or not the first decides after it."""
    player = Player("ippo", "openspiel:kuhn_poker", gamma=0.5, gae_lambda=1.0)
    trajectory = player.rollout()
    second = np.nonzero(trajectory.learnable([0]))[2] == 1
    (batch,) = player.batches(trajectory)
    worth = np.abs(batch.columns["value_target"].numpy()[second])
    assert set(worth.round(4).tolist()) == {1.0, 2.0}


def test_a_member_that_dies_discounts_what_its_team_is_paid_as_the_living_do():
    """Both are paid 10 by the third step, whether or not one of them dies by the first: worth 0.5 * 0.5 * 10.

    A rollout of 16 steps has four whole episodes of each environment.
    """
    player = Player("ippo", "tests.games.test_comings_and_goings:Sacrifice(plain=10)", gamma=0.5, gae_lambda=1.0)
    trajectory = player.rollout()
    time, env, _ = np.nonzero(trajectory.learnable([0]))
    (batch,) = player.batches(trajectory)
    opening = trajectory.first[time, env]
    assert 0 < trajectory.acting[1][trajectory.first[0]].sum() < 32  # some have died
    np.testing.assert_allclose(batch.columns["value_target"].numpy()[opening], 2.5, rtol=1e-5)


@pytest.mark.parametrize("truncate, value", [(True, 10.0), (False, 6.51)])
def test_truncation_bootstraps_and_termination_does_not(truncate, value):
    """One state that pays 1 a step: for ever it is worth 1 / (1 - 0.9), and over ten steps 1 - 0.9^10 times that.

    What the critic is to learn is for the first decision of a whole episode.
    """
    game = f"matrix(team=[[1, 1], [1, 1]], steps=10, truncate={str(truncate).lower()})"
    player = Player("ippo", game, gamma=0.9, gae_lambda=1.0, learning_rate=0.02, hidden=(8,), epochs=10)
    player.learn(25, length=22)
    player.begin()
    [batch] = player.batches(player.rollout(10))
    assert batch.columns["value_target"].max().item() == pytest.approx(value, abs=0.05)


@pytest.mark.parametrize("name", ["ippo", "mappo"])
@pytest.mark.parametrize("k, reached", [(0, 10), (-100, 2)])
def test_penalty_games(name, k, reached):
    """Players who choose at once cannot know of each other: where a miss costs 100, what is safe pays 2."""
    player = Player(name, make(f"matrix(game=penalty, k={k})", 64), learning_rate=5e-3, minibatch_size=512)
    player.learn(60)
    trajectory = player.rollout()
    paid = trajectory.reward[trajectory.acting[:-1]]
    assert np.median(paid) == reached and abs(paid.mean() - reached) < 1


def test_steps_whose_ratios_have_exploded_are_skipped_counted_and_said():
    player = Player("ippo", "openspiel:tic_tac_toe", minibatch_size=64, epochs=2)
    trajectory = player.rollout()
    [batch] = player.batches(trajectory)
    drawn = np.nonzero(trajectory.learnable([0]))
    trajectory.extras["log_prob"][tuple(axis[0] for axis in drawn)] = -60.0
    metrics = player.learner.update(trajectory, [0])
    assert metrics["skipped_updates"] == 2  # the minibatch with that decision, in both epochs
    assert np.isfinite(list(metrics.values())).all() and metrics["approx_kl"] < 1
    assert player.learner.notes.count(ppo.SKIPPED) == 1
    trajectory.extras["log_prob"][trajectory.acting[:-1]] = -1000.0
    before = {name: tensor.clone() for name, tensor in player.learner.agent_state().items()}
    metrics = player.learner.update(trajectory, [0])
    assert metrics["skipped_updates"] == 2 * round(len(batch) / 64) and "approx_kl" not in metrics
    assert all(torch.equal(tensor, before[name]) for name, tensor in player.learner.agent_state().items())
    assert player.learner.notes.count(ppo.SKIPPED) == 1
    assert player.learn(1)[0]["skipped_updates"] == 0


def test_an_update_ends_where_the_policy_has_moved_too_far():
    few, many = (
        Player("ippo", "openspiel:tic_tac_toe", minibatch_size=64, epochs=20, learning_rate=1e-2, target_kl=kl)
        for kl in (0.01, None)
    )
    [short], [long] = few.learn(1), many.learn(1)
    assert short["approx_kl"] < 0.01 < long["approx_kl"]
    steps = [under("optimizer.0", player.learner.state())["0.step"].item() for player in (few, many)]
    assert 1 <= steps[0] < steps[1] / 2


def test_advantages_are_standardised_over_the_minibatch_or_the_batch_or_not_at_all(monkeypatch):
    seen = []

    def noting(log_prob, entropy, old_log_prob, advantage, **options):
        seen.append(advantage)
        return actor_loss(log_prob, entropy, old_log_prob, advantage, **options)

    monkeypatch.setattr(ppo, "actor_loss", noting)
    moments = {}
    for how in ("minibatch", "batch", False):
        seen.clear()
        player = Player("ippo", Skirmish(16), minibatch_size=32, epochs=1, standardise_advantages=how)
        player.learn(1)
        each, whole = [[float(part.mean()), float(part.std(correction=0))] for part in seen], torch.cat(seen)
        moments[how] = np.array(each), [float(whole.mean()), float(whole.std(correction=0))]
    np.testing.assert_allclose(moments["minibatch"][0], [[0, 1]] * len(each), atol=1e-5)
    np.testing.assert_allclose(moments["batch"][1], [0, 1], atol=1e-5)
    assert abs(moments["batch"][0] - [0, 1]).max() > 0.02 and moments[False][1][0] > 0.05


def test_targets_are_normalised_when_the_statistics_have_seen_them(monkeypatch):
    seen = []
    monkeypatch.setattr(
        ppo, "critic_loss", lambda value, target, *a, **b: seen.append(target) or critic_loss(value, target)
    )
    player = Player("mappo", Skirmish(16), minibatch_size=10**6, epochs=1, learning_rate=0.01)
    [batch] = player.batches(player.rollout())
    player.begin()
    player.learn(1)
    raw, [normalised] = batch.columns["value_target"], seen
    assert abs(raw.mean()) > 0.3
    np.testing.assert_allclose([normalised.mean(), normalised.std(correction=0)], [0, 1], atol=1e-4)
    player.learn(30)
    trajectory = player.rollout()
    value = player.values(trajectory).value
    [batch] = player.batches(trajectory)
    assert value[trajectory.acting].mean() == pytest.approx(
        float(batch.columns["value_target"].mean()), rel=0.3
    )  # in units of returns


def test_the_entropy_coefficient_changes_over_the_run():
    player = Player("ippo", Skirmish(4), entropy_coefficient=0.3, entropy_coefficient_end=0.1, total_steps=100)
    metrics = player.learn(5, length=10)
    coefficients = [line["entropy_coefficient"] for line in metrics]
    assert (
        coefficients[0] == 0.3
        and coefficients[-1] == pytest.approx(0.1)
        and coefficients[1] == pytest.approx(0.3 - 0.2 * player_steps(4, 10) / 100)
    )
    assert "entropy_coefficient" not in Player("ippo", Skirmish(4)).learn(1)[0]


def player_steps(num_envs, length):
    return Player("ippo", Skirmish(num_envs)).rollout(length).steps


@KINDS
def test_load_state_goes_on_as_if_nothing_had_been(name, settings):
    """Two stretches, or one, a new learner with its state, and the other: the same bytes, statistics and counters."""
    one, twin = (Player(name, Skirmish(8), **settings) for _ in range(2))
    one.learn(2, length=9)
    twin.learner.load_state({key: tensor.clone() for key, tensor in one.learner.state().items()})
    for player in (one, twin):
        player.begin()
        player.learn(2, length=9)
    state, other = one.learner.state(), twin.learner.state()
    assert state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)


@pytest.mark.slow
@pytest.mark.parametrize("recurrent", [True, False])
def test_only_memory_repeats_the_first_symbol(recurrent):
    player = Player(
        "ippo",
        make("repeat_first", 64),
        recurrent=recurrent,
        hidden=(32,),
        hidden_size=32,
        chunk_length=10,
        learning_rate=3e-3,
        minibatch_size=512,
    )
    player.learn(45, length=32)
    trajectory = player.rollout(200)
    paid = trajectory.reward[trajectory.terminated[1:]].mean()
    assert paid >= 0.95 if recurrent else 0.4 < paid < 0.6


@KINDS
def test_a_trajectory_is_copied_to_the_device_once(monkeypatch, name, settings):
    """More epochs and minibatches copy more row numbers, and nothing else."""
    to, copied = torch.Tensor.to, []

    def noting(tensor, *arguments, **options):
        copied.append((tuple(tensor.shape), tensor.dtype))
        return to(tensor, *arguments, **options)

    found = []
    for epochs, size in ((1, 10**6), (5, 16)):
        player = Player(name, Skirmish(16), minibatch_size=size, epochs=epochs, **settings)
        trajectory = player.rollout()
        with monkeypatch.context() as patched:
            patched.setattr(torch.Tensor, "to", noting)
            player.learner.update(trajectory, [0])
        assert copied.count((trajectory.obs.shape, torch.float32)) == 1
        found.append([(shape, dtype) for shape, dtype in copied if dtype != torch.int64])
        copied.clear()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "name, settings, noted",
    [
        ("ippo", {"minibatch_size": 64}, []),
        (
            "ippo",
            {"minibatch_size": 9999},
            [
                "minibatch_size: 9,999 is more than the {} decisions of the first update: an update has 4 gradient "
                "steps, one for each epoch; a smaller minibatch_size gives more"
            ],
        ),
        (
            "mappo",
            {"minibatch_size": 9999, "epochs": 1},
            [
                "minibatch_size: 9,999 is more than the {} decisions of the first update: an update is one gradient "
                "step, and clip, value_clip change nothing; a smaller minibatch_size gives more"
            ],
        ),
    ],
)
def test_a_minibatch_of_more_than_an_update_is_noted_once(name, settings, noted):
    player = Player(name, Skirmish(16), **settings)
    trajectory = player.rollout()
    player.learner.update(trajectory, [0])
    player.learn(1)
    assert player.learner.notes == [note.format(trajectory.learnable([0]).sum()) for note in noted]
