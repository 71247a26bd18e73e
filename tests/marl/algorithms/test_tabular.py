"""Tables as agents: computed, written as checkpoints, loaded like any agent; never trained."""

import json

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrant
from marl.algorithms.tabular import TableAgent, names_of, table
from marl.cli.app import main
from marl.evaluation.tabular import respond, tensors_of, told
from marl.evaluation.tree import Tree, best_responses
from marl.rollout.types import View
from marl.training.config import TrainConfig
from marl.training.train import train
from tests.marl.agents.test_policies import check

GAME = "openspiel:leduc_poker"


@pytest.fixture(scope="module")
def tree():
    return Tree(make(GAME, 1).spec, "this test")


def write(folder, tree, tensors):
    return checkpoint.write(
        folder,
        algorithm="best_response",
        settings={},
        spec=tree.spec,
        config={"game": tree.spec.name, "seed": 0},
        step=0,
        parent=None,
        agent=tensors,
        learner={},
    )


@pytest.fixture(scope="module")
def response(tree, tmp_path_factory):
    """The best response to uniform play, as a checkpoint."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints" / "000000000"
    write(folder, tree, respond(tree, tree.uniform()))
    return folder


def test_a_table_is_told_as_it_was_written(tree, tmp_path):
    drawn = np.where(tree.legal, np.random.default_rng(0).random(tree.legal.shape), 0)
    policy = drawn / drawn.sum(1, keepdims=True)
    digest = write(tmp_path / "one", tree, tensors_of(tree, policy))
    entrant = load_entrant(str(tmp_path / "one"), tree.spec)
    assert entrant.digest == digest and np.abs(told(tree, entrant.agent, 0) - policy).max() < 1e-6
    check(entrant.agent, GAME)
    assert write(tmp_path / "other", tree, tensors_of(tree, policy)) == digest
    assert write(tmp_path / "other", tree, tensors_of(tree, tree.uniform())) != digest


def test_a_response_is_the_best_one_in_evaluations_and_in_games(tree, response, capsys, tmp_path):
    for arguments in (("--best-response",), ("--seeds", "200")):
        with pytest.raises(SystemExit) as left:
            main(["evaluate", str(response.parent.parent), "--against", "random", *arguments, "--json"])
        printed = capsys.readouterr()
        assert left.value.code == 0, printed.err
        found = json.loads(printed.out)["evaluations"][0]
        if "share" in found:
            worth = best_responses(tree, tree.uniform())[1]
            assert found["share"] == [1, 1] and found["best_response"] == pytest.approx(worth, abs=1e-6)
        else:
            assert np.abs(np.array(found["return_mean"]) - worth).max() < 1.5
    settings = {"algorithm": {"name": "ippo", "hidden": (8,)}, "steps": 64, "num_envs": 4, "rollout_length": 16}
    config = {"game": GAME, "opponents": {"agents": (str(response),)}, "evaluation": {"panel": (str(response),)}}
    newest = train(TrainConfig.model_validate(config | settings), tmp_path / "run", resume=False)
    assert checkpoint.read(newest)["step"] >= 64


def test_at_unknown_views_legal_actions_are_drawn_uniformly(tree):
    state = tensors_of(tree, best_responses(tree, tree.uniform())[0])
    agent = TableAgent({name: tensor[1:] for name, tensor in state.items()}, tree.spec.num_actions)
    first, *others = [View.of(tree.spec, known.decisions[-1:], fold(0, 1), first=True) for known in tree.known[:9]]
    start = agent.initial_hidden(1)
    assert np.exp(agent.policy(first, start)[0])[0] == pytest.approx(first.action_mask[0] / first.action_mask.sum())
    for place, known in enumerate(others, start=1):
        assert np.array_equal(np.exp(agent.policy(known, start)[0])[0], state["probabilities"][place])


def test_views_that_look_the_same():
    """Who sees them, and what was seen before, tells them apart; what nothing tells apart is refused."""
    obs, nothing = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    assert len(set(names_of(nothing, obs, np.array([0, 1])).tolist())) == 2
    assert len(set(names_of(np.array([0, 7]), obs, np.array([0, 0])).tolist())) == 2
    with pytest.raises(UserError, match="all views so far are the same; choose another game"):
        table(names_of(nothing, obs, np.array([0, 0])), np.eye(2))


@pytest.mark.parametrize("damage", ["negative", "narrow", "absent"])
def test_tensors_that_are_no_table(tree, tmp_path, damage):
    tensors = tensors_of(tree, tree.uniform())
    if damage == "negative":
        tensors["probabilities"][3] *= -1
    elif damage == "narrow":
        tensors["probabilities"] = tensors["probabilities"][:, 1:]
    else:
        del tensors["names"]
    write(tmp_path / "one", tree, tensors)
    with pytest.raises(UserError, match="do not fit this version of best_response"):
        load_entrant(str(tmp_path / "one"), tree.spec)


def test_it_is_not_trained(tmp_path):
    with pytest.raises(UserError, match="computed from the tree of a small game and not trained; name it as"):
        train(TrainConfig(game=GAME, algorithm="best_response"), tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()
