"""A run that begins with another's learner goes on as that one would have gone on."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from games.errors import UserError
from marl.agents import checkpoint
from marl.training.config import TrainConfig
from marl.training.train import check, train

DILEMMA = "matrix(game=prisoners_dilemma, steps=8, memory=true, truncate=true)"
SEARCH = {"simulations": 2, "batch_size": 8, "steps_per_update": 16, "hidden": [8], "encoder": "mlp"}
SMALL = {"actor_hidden": [4], "actor_memory": 0, "critic_hidden": [4], "critic_memory": 0}
STAGES = {"hidden": [8], "batch_size": 8, "learning_starts": 16, "steps_per_update": 8, "target_update": 3}
STAGES |= {"replay_positions": 100, "iterations": 10, "optimism": 0.01}
RUNS = {  # by algorithm: the game, settings, and steps of a stretch
    "ippo": ("openspiel:kuhn_poker", {"hidden": [8], "minibatch_size": 32}, 64),
    "happo": ("two_step", {"hidden": [8]}, 64),
    "conditional_mappo": ("two_step", {"hidden": [8], "distil": True}, 64),
    "mappo": ("two_step", {"hidden": [8], "recurrent": True, "hidden_size": 8}, 64),
    "maddpg": (
        "gymnasium:gymnasium.Pendulum-v1",
        {"actor_hidden": [8], "batch_size": 16, "random_steps": 100, "steps_per_update": 50, "target_noise": 0.1},
        700,
    ),
    "vdn": ("two_step", {"hidden": 8, "steps_per_update": 16}, 64),
    "qmix": ("two_step", {"hidden": 8, "steps_per_update": 16}, 64),
    "concaveq": ("two_step", {"hidden": 8, "steps_per_update": 16}, 64),
    "loqa": (DILEMMA, SMALL, 64),
    "lola": (DILEMMA, SMALL, 64),
    "minimax_dqn": ("openspiel:goofspiel(num_cards=3)", STAGES, 64),
    "alphazero": ("openspiel:tic_tac_toe", SEARCH, 96),
    "muzero": ("openspiel:tic_tac_toe", SEARCH, 96),
}


def config(name: str, stretches: int, settings: dict | None = None, **changes) -> TrainConfig:
    game, own, stretch = RUNS[name]
    return TrainConfig.model_validate(
        {
            "game": game,
            "algorithm": {"name": name} | own | (settings or {}),
            "steps": stretches * stretch,
            "stretch": stretch,
            "num_envs": 4,
            "rollout_length": None if name in ("loqa", "lola", "maddpg") else 8,
            "evaluation": {"panel": ()},
            "writers": (),
        }
        | changes
    )


def weights(folder):
    return load_file(folder / checkpoint.AGENT)


@pytest.mark.parametrize("name", RUNS)
def test_a_child_goes_on_as_its_parent_would(name, tmp_path):
    """The run to a step, and a second one from there, are one run: its bytes are those of the child."""
    whole = train(config(name, 3), tmp_path / "whole", resume=False)
    parent = train(config(name, 3), tmp_path / "parent", resume=False, until=RUNS[name][2])
    about = checkpoint.read(parent)
    assert RUNS[name][2] <= about["step"] < checkpoint.read(whole)["step"]
    child = train(config(name, 3, parent=str(tmp_path / "parent")), tmp_path / "child", resume=False)
    for file in (checkpoint.AGENT, checkpoint.LEARNER):
        assert (child / file).read_bytes() == (whole / file).read_bytes()
    first = checkpoint.folder_of(tmp_path / "child", about["step"])
    assert checkpoint.read(first)["parent"] == about["digest"] and checkpoint.read(first)["parent_step"] is None
    assert (first / checkpoint.AGENT).read_bytes() == (parent / checkpoint.AGENT).read_bytes()


@pytest.mark.parametrize("name", RUNS)
def test_a_child_has_settings_of_its_own(name, tmp_path):
    """No learner takes over its parent's learning rate."""
    slow = {"learning_rate": 1e-30} | ({"critic_learning_rate": 1e-30} if name in ("loqa", "lola") else {})
    parent = train(config(name, 2), tmp_path / "parent", resume=False, until=RUNS[name][2])
    child = train(config(name, 2, slow, parent=str(parent)), tmp_path / "child", resume=False)
    before, after = weights(parent), weights(child)
    assert checkpoint.read(child)["step"] > checkpoint.read(parent)["step"]
    learned = [key for key in before if "normaliser" not in key]  # which counts what it sees
    assert all(torch.allclose(before[key], after[key], atol=1e-12) for key in learned)


def test_a_child_needs_its_parent_no_more_once_it_has_a_checkpoint(tmp_path):
    parent = train(config("ippo", 3), tmp_path / "parent", resume=False, until=64)
    begun = config("ippo", 3, parent=str(parent))
    whole = train(begun, tmp_path / "whole", resume=False)
    train(begun, tmp_path / "child", resume=False, until=128)
    shutil.rmtree(tmp_path / "parent")
    child = train(begun, tmp_path / "child", resume=True)
    assert (child / checkpoint.LEARNER).read_bytes() == (whole / checkpoint.LEARNER).read_bytes()


def test_a_child_meets_its_own_past_and_none_of_its_parent(tmp_path):
    past = {"opponents": {"past": {"window": "all"}}}
    parent = train(config("ippo", 4, **past), tmp_path / "parent", resume=False, until=64)
    begun = config("ippo", 4, parent=str(parent), **past)
    whole = train(begun, tmp_path / "whole", resume=False)
    train(begun, tmp_path / "child", resume=False, until=192)
    child = train(begun, tmp_path / "child", resume=True)
    assert (child / checkpoint.LEARNER).read_bytes() == (whole / checkpoint.LEARNER).read_bytes()


def test_a_parent_by_digest(tmp_path):
    parent = train(config("ippo", 2), tmp_path / "parent", resume=False, until=64)
    digest = checkpoint.read(parent)["integrity"]
    begun = config("ippo", 2, parent=f"digest:{digest}")
    here = train(begun, tmp_path / "here", resume=False, agents={digest: str(parent)})
    shutil.move(tmp_path / "parent", tmp_path / "moved")
    agents = {digest: str(tmp_path / "moved" / "checkpoints" / parent.name)}
    there = train(begun, tmp_path / "there", resume=False, agents=agents)
    assert (here / "checkpoint.json").read_bytes() == (there / "checkpoint.json").read_bytes()
    assert check(begun, agents=agents).inputs["parent"] == digest
    with pytest.raises(UserError, match=r"expected the checkpoint 0000.* got another .* put back"):
        train(
            config("ippo", 2, parent=f"digest:{'0' * 64}"),
            tmp_path / "x",
            resume=False,
            agents={"0" * 64: agents[digest]},
        )
    with pytest.raises(UserError, match="named by its digest alone"):
        train(begun, tmp_path / "x", resume=False)


def test_the_inputs_of_a_run_without_a_parent_are_as_they_were():
    assert "parent" not in check(config("ippo", 2)).inputs
    assert "parent" not in config("ippo", 2).model_dump(mode="json")


@pytest.mark.parametrize(
    "name, stretches, settings, complaint",
    [
        ("mappo", 2, {}, r"expected a run of mappo, got '.*', which is of ippo; name one of mappo"),
        ("ippo", 1, {}, r"has trained 68 steps, which count, and the run ends at 64; set steps to more"),
        ("ippo", 2, {"hidden": [9]}, r"does not fit: its settings that differ are hidden: \[8\]; take over those"),
        ("ippo", 2, {"recurrent": True}, r"its settings that differ are recurrent: False"),
    ],
)
def test_a_parent_that_does_not_fit_is_one_sentence(name, stretches, settings, complaint, tmp_path):
    train(config("ippo", 2), tmp_path / "parent", resume=False, until=64)
    begun = config(name, stretches, settings, parent=str(tmp_path / "parent"))
    with pytest.raises(UserError, match=complaint) as error:
        train(begun, tmp_path / "child", resume=False)
    assert "\n" not in str(error.value) and not (tmp_path / "child" / "config.yaml").exists()


def test_a_parent_of_another_game_or_that_is_not_there(tmp_path):
    train(config("ippo", 2), tmp_path / "parent", resume=False, until=64)
    other = config("ippo", 2, parent=str(tmp_path / "parent"), game="openspiel:tic_tac_toe")
    with pytest.raises(UserError, match=r"whose views .* are not those of"):
        train(other, tmp_path / "child", resume=False)
    with pytest.raises(UserError, match="expected a checkpoint or a run folder, got 'nowhere/x'"):
        train(config("ippo", 2, parent="nowhere/x"), tmp_path / "child", resume=False)
    (checkpoint.folder_of(tmp_path / "parent", 68) / checkpoint.LEARNER).unlink()
    with pytest.raises(UserError, match=r"lacks learner\.safetensors"):
        train(config("ippo", 2, parent=str(tmp_path / "parent")), tmp_path / "child", resume=False)


def test_a_run_keeps_the_parent_with_which_it_was_begun(tmp_path):
    parent = train(config("ippo", 2), tmp_path / "parent", resume=False, until=64)
    train(config("ippo", 2), tmp_path / "run", resume=False, until=64)
    with pytest.raises(UserError, match="was begun with parent: None, the config now says"):
        train(config("ippo", 2, parent=str(parent)), tmp_path / "run", resume=True)
