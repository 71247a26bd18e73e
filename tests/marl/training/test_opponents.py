"""Opponents in training: lists with weights, the run's own past, prioritised; resumed to the byte."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrant
from marl.base.origin import NOWHERE, typed
from marl.base.schema import build, dump, load, validate
from marl.rollout.seating import self_play
from marl.rollout.training_episodes import Ended
from marl.training.config import OpponentsConfig, PastConfig, TrainConfig
from marl.training.opponents import Opponent, Opponents, Past
from marl.training.train import as_begun, prepare, train
from marl.training.train import check as train_check
from tests.marl.training.test_train import KILLED, ROOT, TINY, files, lines, same

BOARD = make("openspiel:tic_tac_toe", 1).spec
PRIORITISED = {"agents": ["random"], "past": {"window": 2, "draw": "prioritised", "weight": 3}, "share": 0.75}


def config(opponents, **changes) -> TrainConfig:
    return TrainConfig.model_validate(TINY | {"opponents": opponents, "evaluation": {"panel": ()}} | changes)


def learner(spec=BOARD):
    return SimpleNamespace(spec=spec, leaders=lambda: (0,))


def past(**settings) -> Past:
    return Past(PastConfig(**settings), learner(), "ippo", "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run against its own past, prioritised, that keeps one checkpoint and those that it needs."""
    folder = tmp_path_factory.mktemp("past") / "run"
    train(config(PRIORITISED, steps=1_000, keep=1), folder, resume=False)
    return folder


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """The checkpoint of a member of a population."""
    return train(config({}, steps=1, stretch=1), tmp_path_factory.mktemp("member") / "a", resume=False)


class TestConfig:
    def test_forms_of_a_list(self):
        found = OpponentsConfig.model_validate({"agents": ["random", {"agent": "runs/x", "weight": 2}, "mcts"]})
        assert found.references == ("random", "runs/x", "mcts") and [a.weight for a in found.agents] == [1, 2, 1]
        by_seat = OpponentsConfig.model_validate({"agents": [{"agent": "mcts", "weight": [0.5, 0]}]})
        assert by_seat.model_dump(mode="json")["agents"] == [{"agent": "mcts", "weight": [0.5, 0.0]}]
        assert found.model_dump(mode="json")["agents"] == ["random", {"agent": "runs/x", "weight": 2.0}, "mcts"]
        plain = OpponentsConfig.model_validate({"agents": [{"agent": "random"}]})
        assert plain == OpponentsConfig(agents=("random",))

    def test_references_that_yaml_has_split_are_joined_beside_weights(self):
        parts = ["mcts(simulations=5", "c=1)", {"agent": "random", "weight": 2}, "a(b=1", "c=2)"]
        assert OpponentsConfig(agents=parts).references == ("mcts(simulations=5, c=1)", "random", "a(b=1, c=2)")

    def test_what_a_run_writes_is_read_back(self, tmp_path):
        sets = [
            "opponents.past.window=all",
            "opponents.agents=[random, {agent: mcts, weight: 0.5}, {agent: uct, weight: [0, 1]}]",
            "game=spread",
        ]
        whole = build(TrainConfig, replace(NOWHERE, data={"algorithm": "ippo"}, changes=tuple(typed(sets))))
        (tmp_path / "config.yaml").write_text(dump(whole))
        again = load(TrainConfig, tmp_path / "config.yaml", record=True)
        assert again == whole and again.opponents.past == PastConfig(window="all")

    @pytest.mark.parametrize(
        ("opponents", "sentence"),
        [
            ({"agents": [3]}, "expected agents, or agents with weights: {agent: random, weight: 2}, got 3"),
            ({"agents": ["random", {"agent": "mcts", "weight": 0}]}, "expected a number above 0 or a list, got 0"),
            ({"agents": [{"agent": "mcts", "weigth": 2}]}, "did you mean 'weight'?"),
            ({"agents": [{"agnt": "mcts"}]}, "; did you mean 'agent'?"),
            ({"agents": [{"weight": 2}]}, "the key 'opponents.agents.0.agent' is missing"),
            ({"past": {"window": 0}}, "opponents.past.window"),
            ({"past": {"draw": "prioritized"}}, "did you mean 'prioritised'?"),
            ({"agents": [{"agent": "mcts", "weight": [1, -1]}]}, "expected a number of at least 0, got -1"),
            ({"agents": [{"agent": "mcts", "weight": "much"}]}, "expected a number or a list, got 'much'"),
            ({"agents": [{"agent": "mcts", "weight": [1, 2]}], "dealt": "by_turns"}, "expected dealt: by_episode"),
            ({"past": {}, "dealt": "by_turns"}, "expected dealt: by_episode for opponents with weights or a past"),
        ],
    )
    def test_what_does_not_fit(self, opponents, sentence):
        with pytest.raises(UserError) as caught:
            validate(TrainConfig, {"game": "spread", "algorithm": "ippo", "opponents": opponents}, NOWHERE)
        assert sentence in str(caught.value)


class TestWeights:
    def test_of_a_list(self, tmp_path):
        """The members of a population share the weight of their entry."""
        members = [{"id": name, "checkpoint": name} for name in "ab"]
        (tmp_path / "population.json").write_text(json.dumps({"members": members}))
        for name in "ab":
            train(config({}, steps=1, stretch=1), tmp_path / "made", resume=False)
            shutil.copytree(checkpoint.newest(tmp_path / "made"), tmp_path / name)
            shutil.rmtree(tmp_path / "made")
        listed = [{"agent": str(tmp_path), "weight": 3}, "random"]
        found = prepare(config({"agents": listed, "share": 1.0}), tmp_path / "new").opponents
        weights = [(each.label, *each.weights) for each in found.listed]
        assert weights == [("a", 1.5, 1.5), ("b", 1.5, 1.5), ("random", 1.0, 1.0)]
        _, draw = found.begin(self_play(4, 2), [0], 1)
        assert draw.weights.tolist() == [[1.5, 1.5, 1.0]] * 2 and draw.first == 1 and draw.share == 1.0

    def test_of_the_past(self, run):
        """Uniform, the latest, and (1 - p)² with p = (score + 1) / (episodes + 2)."""
        newest = checkpoint.newest(run)
        step = int(newest.name)
        steps = [each for _, each in checkpoint.line_of(newest, 2)]
        for draw, expected in (("uniform", [1.5, 1.5]), ("latest", [3.0])):
            snapshots = past(draw=draw, window=2, weight=3)
            snapshots.restore(newest, ())
            assert [each.weights.tolist() for each in snapshots.opponents()] == [[each] * 2 for each in expected]
            assert snapshots.opponents()[-1].entrant.digest == checkpoint.read(newest)["digest"]
        snapshots = past(draw="prioritised", window=2, weight=3)
        snapshots.restore(
            newest, [{"step": steps[0], "episodes": 8.0, "score": 7.0}, {"step": 5, "episodes": 1, "score": 1}]
        )
        weights = np.array([(1 - 8 / 10) ** 2, 1 / 4])  # the newest was not met
        assert np.allclose([each.weights[1] for each in snapshots.opponents()], 3 * weights / weights.sum())
        snapshots.settle([(10, 5.0), (2, 2.0)])
        assert snapshots.state() == [
            {"step": steps[0], "episodes": 14.0, "score": 8.5},
            {"step": step, "episodes": 2.0, "score": 2.0},
        ]


def test_results_are_of_the_learners_seat_and_allow_for_rounding():
    entrant = load_entrant("random", BOARD)
    opponents = Opponents(
        OpponentsConfig(share=1.0), BOARD, [Opponent(entrant, np.ones(2), name) for name in "ab"], None
    )
    opponents.begin(self_play(4, 2), [0], 1)
    ended = Ended(
        seating=np.array([[0, 1], [2, 0], [0, 0], [0, 2], [1, 0]]),
        returns=np.array([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0], [1e-9, -1e-9], [-0.5, 0.5]]),
        rounding=np.array([0.0, 0.0, 0.0, 1e-8, 0.0]),
        length=np.full(5, 5),
    )
    against, own, score = opponents._results(ended)
    assert against.tolist() == [0, 1, 1, 0]
    assert own.tolist() == [1.0, -1.0, 1e-9, 0.5] and score.tolist() == [1.0, 0.0, 0.5, 1.0]


def test_results_of_team_against_team_are_those_of_the_teams():
    """The learner holds a team, which is paid the sum of its members' payments, and wins by that sum."""
    tag = make("tag", 1).spec
    opponents = Opponents(
        OpponentsConfig(share=1.0), tag, [Opponent(load_entrant("random", tag), np.ones(3), "a")], None
    )
    own, draw = opponents.begin(self_play(200, 3), [0], 1)
    seating = draw.seat(own, np.arange(200, dtype=np.uint64))
    assert {tuple(row) for row in seating.tolist()} == {(0, 0, 1), (1, 1, 0)}
    ended = Ended(
        seating=np.array([[0, 0, 1], [1, 1, 0]]),
        returns=np.array([[1.0, -0.5, -0.5], [1.0, 1.0, -2.0]]),
        rounding=np.zeros(2),
        length=np.full(2, 5),
    )
    _, own_return, score = opponents._results(ended)
    assert own_return.tolist() == [0.5, -2.0] and score.tolist() == [1.0, 0.0]


def test_metrics_name_each_opponent(run):
    logged = lines(run / "metrics.jsonl")
    for name in ("random", "past"):
        assert all(line[f"against/{name}/episodes"] >= 0 for line in logged)
        assert any(-1 <= line.get(f"against/{name}/return_mean", 2) <= 1 for line in logged)
    weights = [sum(line[f"against/{name}/episodes"] for line in logged) for name in ("random", "past")]
    assert weights[1] > 2 * weights[0] > 0  # 3 to 1


class TestBySeat:
    """Each seat that the learner keeps has weights of its own."""

    def test_an_opponent_is_met_in_its_seats_alone(self, tmp_path):
        listed = [{"agent": "random", "weight": [1, 0]}, {"agent": "mcts(simulations=2)", "weight": [0, 3]}]
        found = prepare(config({"agents": listed, "share": 1.0}), tmp_path / "new").opponents
        _, draw = found.begin(self_play(4, 2), [0], 1)
        assert draw.weights.tolist() == [[1.0, 0.0], [0.0, 3.0]]
        seating = draw.seat(self_play(200, 2), fold(3, np.arange(200)))
        assert {tuple(row) for row in seating.tolist()} == {(0, 1), (2, 0)}

    @pytest.mark.parametrize(
        ("weights", "sentence"),
        [
            ([[1, 2, 3]], "expected a weight of 'random' for each of the 2 seats of 'openspiel:tic_tac_toe'"),
            ([[1, 0], [2, 0]], "and for seat 1 all weights are 0; give one a weight there"),
        ],
    )
    def test_what_does_not_fit(self, weights, sentence):
        listed = [{"agent": "random", "weight": each} for each in weights]
        with pytest.raises(UserError, match=re.escape(sentence)):
            prepare(config({"agents": listed}), Path("run"))
        if len(weights[0]) == 2:  # its past has a weight in every seat
            prepare(config({"agents": listed, "past": {}}), Path("run"))


class TestByDigest:
    """A member of a population names its opponents by digest: its bytes are the same wherever they lie."""

    def settings(self, member, **changes):
        named = f"digest:{checkpoint.read(member)['digest']}"
        return config({"agents": [{"agent": named, "weight": [1, 2]}], "share": 0.5}, **changes)

    def test_the_bytes_do_not_depend_on_where_it_lies(self, member, tmp_path):
        digest = checkpoint.read(member)["digest"]
        moved = tmp_path / "elsewhere" / "a" / "checkpoints" / member.name
        shutil.copytree(member, moved)
        for name, place in (("one", member), ("other", moved)):
            settings = self.settings(member, steps=200)
            train(settings, tmp_path / name, resume=False, agents={digest: str(place)})
        train(self.settings(member), tmp_path / "one", resume=True, agents={digest: str(moved)})
        train(self.settings(member), tmp_path / "other", resume=True, agents={digest: str(member)})
        assert same(tmp_path / "one", tmp_path / "other")
        for name in ("config.yaml", f"checkpoints/{checkpoint.newest(tmp_path / 'one').name}/checkpoint.json"):
            found = (tmp_path / "one" / name).read_bytes()
            assert found == (tmp_path / "other" / name).read_bytes() and f"digest:{digest}".encode() in found
        assert f"against/{digest[:12]}/episodes" in lines(tmp_path / "one" / "metrics.jsonl")[0]

    def test_one_that_nobody_knows_or_that_is_another(self, member, tmp_path):
        settings, digest = self.settings(member), checkpoint.read(member)["digest"]
        train(settings, tmp_path / "run", resume=False, agents={digest: str(member)})
        written = files(tmp_path)
        for resume in (False, True):
            with pytest.raises(UserError, match="named by its digest alone; go on with `marl population`"):
                train(settings, tmp_path / ("run" if resume else "new"), resume=resume)
        with pytest.raises(UserError, match="named by its digest alone"):
            load_entrant(f"digest:{digest}", BOARD)
        with pytest.raises(UserError, match=f"expected the agent with the digest {digest[:8]}... at 'random', got"):
            train_check(settings, agents={digest: "random"})
        train_check(settings, agents={digest: str(member)})
        begun = as_begun(config({}), tmp_path / "run")  # the config leaves them open
        assert begun.opponents.references == (f"digest:{digest}",)
        assert files(tmp_path) == written


class TestPast:
    def test_the_checkpoints_of_the_window_are_kept(self, run):
        """With `keep: 1`: the two of the window, and one more, as the run may go on from the one before the newest."""
        assert len(list((run / "checkpoints").glob("*/agent.safetensors"))) == 3
        results = checkpoint.read(checkpoint.newest(run))["past"]
        assert [each["step"] for each in results] == [
            step for _, step in checkpoint.line_of(checkpoint.newest(run), 3)
        ][:2]
        assert all(0 < each["score"] < each["episodes"] for each in results)

    @pytest.mark.parametrize("at_write", [8, 12])
    def test_killed_in_a_checkpoint_and_resumed(self, run, tmp_path, at_write):
        settings = config(PRIORITISED, steps=1_000, keep=1)
        command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), settings.model_dump_json(), str(at_write)]
        died = subprocess.run(command, cwd=ROOT, capture_output=True)
        assert died.returncode == -signal.SIGKILL
        train(settings, tmp_path / "run", resume=True)
        assert same(run, tmp_path / "run")
        one, other = (checkpoint.newest(folder) / "checkpoint.json" for folder in (run, tmp_path / "run"))
        assert one.read_bytes() == other.read_bytes()

    def test_from_the_checkpoint_before_a_damaged_one(self, run, tmp_path):
        shutil.copytree(run, tmp_path / "run")
        os.truncate(checkpoint.newest(tmp_path / "run") / "learner.safetensors", 100)
        train(config(PRIORITISED, steps=1_000, keep=1), tmp_path / "run", resume=True)
        assert same(run, tmp_path / "run")

    def test_one_that_is_missing_or_damaged_is_named(self, run, tmp_path):
        before = checkpoint.line_of(checkpoint.newest(run), 2)[0][0].name
        for how in (lambda path: path.unlink(), lambda path: os.truncate(path, 100)):
            shutil.copytree(run, tmp_path / "run")
            written = files(tmp_path / "run")
            how(tmp_path / "run" / "checkpoints" / before / "agent.safetensors")
            with pytest.raises(UserError, match=f"plays against its own past, and .*{before}.*; put back a copy"):
                train(config(PRIORITISED, steps=2_000, keep=1), tmp_path / "run", resume=True)
            written.pop(f"checkpoints/{before}/agent.safetensors")
            assert files(tmp_path / "run") | written == files(tmp_path / "run")
            shutil.rmtree(tmp_path / "run")

    def test_a_line_that_is_broken(self, run, tmp_path):
        """A checkpoint of another run in the place of one."""
        shutil.copytree(run, tmp_path / "run")
        train(config({}, steps=1_000, seed=3), tmp_path / "other", resume=False)
        (folder, _), (newest, _) = checkpoint.line_of(checkpoint.newest(tmp_path / "run"), 2)
        other = checkpoint.newest(tmp_path / "other")
        shutil.rmtree(folder)
        shutil.copytree(other, folder)
        with pytest.raises(checkpoint.Damaged, match="follows on another"):
            checkpoint.line_of(newest, 2)

    def test_what_cannot_have_one_is_refused(self):
        versus = {"name": "versus", "learners": ["naive", "naive"]}
        game = "matrix(game=prisoners_dilemma, steps=4, memory=true, truncate=true)"
        with pytest.raises(UserError, match=r"versus trains several; leave 'opponents\.past' out"):
            prepare(config({"past": {}}, game=game, algorithm=versus, rollout_length=None), Path("run"))
        for payoff in ("team", "general_sum"):
            with pytest.raises(
                UserError, match="prioritised counts wins, and 'openspiel:tic_tac_toe' is not zero-sum; use"
            ):
                Past(PastConfig(draw="prioritised"), learner(replace(BOARD, payoff=payoff)), "ippo", "cpu")

    @pytest.mark.parametrize("opponents", [{"past": {}}, {"agents": ["random"]}])
    def test_a_game_of_one_player_has_no_opponents(self, opponents):
        with pytest.raises(UserError, match=r"'gymnasium:.*' is a game of one player, .*; leave them out"):
            prepare(config(opponents, game="gymnasium:gymnasium.CartPole-v1"), Path("run"))

    def test_a_class_of_the_users_is_named(self, tmp_path):
        """A checkpoint imports no class by itself, and the run's own past must load."""
        algorithm = TINY["algorithm"] | {"name": "marl.algorithms.policy_gradient.ippo:Ippo"}
        train(config({"past": {}}, steps=400, algorithm=algorithm), tmp_path / "run", resume=False)
        assert len(files(tmp_path / "run")) > 3


@pytest.mark.processor
def test_one_worker_and_two_meet_the_same_past(tmp_path):
    algorithm = {"name": "alphazero", "simulations": 4, "channels": 4, "blocks": 1, "batch_size": 16}
    settings = {"algorithm": algorithm | {"steps_per_update": 32}, "steps": 300, "stretch": 100, "rollout_length": 8}
    train(config(PRIORITISED, **settings, rollout_workers=2), tmp_path / "whole", resume=False)
    train(config(PRIORITISED, **settings | {"steps": 100}, rollout_workers=1), tmp_path / "parts", resume=False)
    train(config(PRIORITISED, **settings, rollout_workers=1), tmp_path / "parts", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_a_run_of_before_goes_on_by_turns(tmp_path):
    """Its config and its checkpoints say nothing of how opponents are dealt."""
    turns = {"agents": ["random"], "dealt": "by_turns"}
    train(config(turns, steps=400), tmp_path / "whole", resume=False)
    train(config({"agents": ["random"]}, steps=400), tmp_path / "new", resume=False)
    assert files(tmp_path / "whole") != files(tmp_path / "new")
    assert not any("against" in name for line in lines(tmp_path / "whole" / "metrics.jsonl") for name in line)
    path = tmp_path / "old" / "config.yaml"
    train(config(turns, steps=1), tmp_path / "old", resume=False)
    held = yaml.safe_load(path.read_text())
    held["opponents"] = {"agents": ["random"], "share": 0.5}
    path.write_text(yaml.safe_dump(held))
    shutil.rmtree(tmp_path / "old" / "checkpoints")
    begun = as_begun(config({"agents": ["random"]}, steps=400), tmp_path / "old")
    assert begun.opponents.dealt == "by_turns"
    train(begun, tmp_path / "old", resume=True)
    assert same(tmp_path / "whole", tmp_path / "old")
