"""The functions of `import marl`, as a user calls them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import marl
from games.keys import fold
from marl.agents import foreign
from marl.cli.app import main
from tests.bots import Counting, First, Second
from tests.plugin_package.my_games import Nim

GAME = "openspiel:tic_tac_toe"
CONFIG = {
    "game": GAME,
    "algorithm": {"name": "ippo", "hidden": [8]},
    "steps": 64,
    "stretch": 64,
    "num_envs": 4,
    "rollout_length": 16,
    "evaluation": {"panel": ["random"], "seeds": 2},
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The newest checkpoint of a finished run."""
    return marl.train(CONFIG, run_dir=tmp_path_factory.mktemp("runs") / "mine", quiet=True)


def test_play_gives_returns_lengths_and_moves():
    played = marl.play(GAME, ["random", "uct(simulations=50)"], episodes=10, seed=0)
    assert played.returns.shape == (10, 2) and played.lengths.shape == (10,) and len(played) == len(played.moves) == 10
    assert played.returns.mean(0)[1] > 0.5 and (played.returns.sum(1) == 0).all()
    assert [moves.shape for moves in played.moves] == [(length, 2) for length in played.lengths.tolist()]
    assert (played.seats == [0, 1]).all() and not played.cut.any()


def test_the_same_seed_is_the_same_play_in_any_number_of_episodes():
    few, many = (marl.play(GAME, "random", episodes, seed=3) for episodes in (3, 70))
    assert (few.returns == many.returns[:3]).all()
    assert all((a == b).all() for a, b in zip(few.moves, many.moves, strict=False))
    assert (marl.play(GAME, "random", 70, seed=4).lengths != many.lengths).any()


def test_agents_that_rotate_share_the_seed_of_each_round():
    turned = marl.play("coin_game", [First(), "random"], 4, seed=1, rotate=True)
    fixed = marl.play("coin_game", [First(), "random"], 2, seed=1)
    assert turned.seats.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert (turned.moves[0] == fixed.moves[0]).all() and (turned.moves[2] == fixed.moves[1]).all()
    assert [moves[:, seat].any() for moves, seat in zip(turned.moves, turned.seats[:, 0], strict=True)] == [False] * 4


def test_returns_follow_the_agents_when_seats_rotate():
    played = marl.play("matrix(game=prisoners_dilemma)", ["always_defect", "always_cooperate"], 2, rotate=True)
    assert (played.returns[0] == played.returns[1]).all() and played.returns[0, 0] > played.returns[0, 1]


def test_three_players_rotate():
    game = "openspiel:kuhn_poker(players=3)"
    played = marl.play(game, ["random", First(), "uct(simulations=5)"], 3, rotate=True)
    assert played.seats.tolist() == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]


def test_games_and_agents_may_be_objects():
    venv = marl.make(Nim(stones=7), 2)
    played = marl.play(venv, [First(), Counting()], 4)
    again = marl.play(Nim(stones=7), [First(), Counting()], 4)
    assert (played.returns == again.returns).all()
    assert marl.evaluate(First(), Nim(stones=7), against="uct(simulations=20)", seeds=2).episodes == 4


def test_a_class_by_reference_plays_as_its_object_does_apart_from_its_process():
    named = marl.play(GAME, ["tests.bots:First()", "random"], 3)
    assert (named.returns == marl.play(GAME, [First(), "random"], 3).returns).all()


def test_episodes_are_cut_and_begin_with_random_moves():
    played = marl.play(GAME, First(), 5, opening_moves=2, max_steps=3)
    assert played.cut.all() and (played.lengths == 3).all()
    assert len({tuple(moves[:2].ravel()) for moves in played.moves}) > 1


def test_a_loaded_agent_decides_for_rows_of_seats(trained):
    venv = marl.make(GAME, 8)
    agent = marl.load_agent(trained, venv)
    timestep = venv.reset(np.arange(8, dtype=np.uint64))
    env, player = np.nonzero(timestep.acting)
    view = marl.View.at(venv, timestep, env, player, fold(timestep.seed[env], 0), first=np.ones(8, bool))
    decision, hidden = agent.act(view, agent.initial_hidden(len(view)))
    assert decision.action.shape == (8,) and hidden is None
    assert view.action_mask[np.arange(8), decision.action].all() and view.states


def test_a_checkpoint_knows_its_own_game(trained):
    agent = marl.load_agent(trained)
    assert type(agent) is type(marl.load_agent(str(trained.parent.parent), GAME))
    assert marl.evaluate(trained, seeds=2) == marl.evaluate(trained, GAME, seeds=2)


def test_evaluate_is_what_the_command_prints(trained, capsys):
    result = marl.evaluate(trained, against="random", seeds=3, seed=5, opening_moves=1)
    command = f"evaluate {trained} --against random --seeds 3 --seed 5 --opening-moves 1 --json"
    with pytest.raises(SystemExit):
        main(command.split())
    [printed] = json.loads(capsys.readouterr().out)["evaluations"]
    assert printed == {"against": "random"} | result.to_json()


def test_train_changes_keys_and_keeps_the_others(capsys):
    newest = marl.train(
        "ippo_tic_tac_toe",
        steps=64,
        num_envs=4,
        rollout_length=16,
        algorithm={"hidden": [8]},
        **{"algorithm.learning_rate": 1e-3, "evaluation.panel": ["random"], "evaluation.seeds": 1},
    )
    said = capsys.readouterr().out
    assert newest.parent == Path("runs/ippo_tic_tac_toe/checkpoints") and "starts afresh, to 64 steps" in said
    algorithm = json.loads((newest / "checkpoint.json").read_text())["settings"]
    assert algorithm["hidden"] == [8] and algorithm["learning_rate"] == 1e-3


def test_train_resumes_as_the_command_does():
    whole = marl.train(
        CONFIG | {"algorithm": {"name": "ippo", "anneal": False}}, run_dir="whole", steps=128, quiet=True
    )
    half = CONFIG | {"algorithm": {"name": "ippo", "anneal": False}}
    marl.train(half, run_dir="parts", quiet=True)
    with pytest.raises(marl.UserError, match="already holds a run"):
        marl.train(half, run_dir="parts", steps=128, quiet=True)
    parts = marl.train(half, run_dir="parts", steps=128, resume=True, quiet=True)
    assert (whole / "agent.safetensors").read_bytes() == (parts / "agent.safetensors").read_bytes()


def test_a_tournament_is_played_and_rated(trained, capsys):
    field = {"game": GAME, "agents": ["random", str(trained), "mcts(simulations=20)"], "workers": 1}
    store = marl.run_tournament(field, seeds=5, run_dir="rated", quiet=True)
    assert capsys.readouterr().out == ""
    summary = marl.rate(store)
    assert summary.ratings.ratings[0].agent == "mcts(simulations=20)"
    assert marl.rate("rated").to_json() == summary.to_json()
    assert marl.run_tournament(field, seeds=5, run_dir="rated", quiet=True) == store


def test_nothing_global_changes(trained, monkeypatch):
    before = os.environ.copy(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        marl.play(GAME, [trained, "random"], 2)
        marl.evaluate(trained, seeds=1)
        marl.train(CONFIG, run_dir="mine", quiet=True)
        with pytest.raises(marl.UserError):
            marl.play(GAME, [Second, "random"], 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before[1])
    assert os.environ == before[0]


class Illegal(marl.Stateless):
    def act(self, view, hidden):
        return marl.Decision(np.full(len(view), 99)), None


@pytest.fixture
def processes(monkeypatch):
    """The processes of the agents that are loaded."""
    started, launch = [], foreign.launch

    def watched(*arguments, **options):
        process, connection = launch(*arguments, **options)
        started.append(process)
        return process, connection

    monkeypatch.setattr(foreign, "launch", watched)
    return started


RAISES = "tests.bots:Bad(how=raise)"


@pytest.mark.parametrize(
    "call",
    [
        lambda: marl.play(GAME, ["tests.bots:First()", "randm"]),
        lambda: marl.play(GAME, ["tests.bots:First()", Illegal()]),
        lambda: marl.evaluate("tests.bots:First()", GAME, against="randm"),
        lambda: marl.train(CONFIG | {"evaluation": {"panel": [RAISES], "seeds": 1}}, run_dir="mine", quiet=True),
        lambda: marl.train(CONFIG | {"opponents": {"agents": [RAISES]}}, run_dir="mine", quiet=True),
    ],
    ids=["play: the second is none", "play: the second fails", "evaluate", "train: panel", "train: opponents"],
)
def test_no_process_of_an_agent_stays_after_a_failure(call, processes):
    with pytest.raises(marl.UserError) as failure:  # its traceback keeps all that the frames of the call hold
        call()
    assert failure.tb and len(processes) == 1 and processes[0].poll() is not None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: marl.make("tic_tac_to"), "did you mean 'openspiel:tic_tac_toe'"),
        (lambda: marl.make(3), "expected a game's reference or a Game, got 3"),
        (lambda: marl.make("coin_game", 0), "expected num_envs to be a whole number from 1 on, got 0"),
        (lambda: marl.make("coin_game", 2.0), "expected num_envs to be a whole number from 1 on, got 2.0"),
        (lambda: marl.load_agent("randm", GAME), "did you mean 'random'"),
        (lambda: marl.load_agent("random"), "'random' knows no game of its own"),
        (lambda: marl.load_agent("runs/none"), "got 'runs/none', which does not exist; name a run's folder"),
        (lambda: marl.evaluate(First()), "only a checkpoint knows its own"),
        (lambda: marl.evaluate("random", GAME, seeds=0), "expected seeds to be a whole number from 1 on, got 0"),
        (lambda: marl.play(GAME, ["random"]), "expected 2 agents, one for each player of 'openspiel:tic_tac_toe'"),
        (lambda: marl.play(GAME, 3), "expected an agent's reference or an object with act(view, hidden), got 3"),
        (lambda: marl.play(GAME, First), "expected an agent's reference or an object with act(view, hidden), got <cl"),
        (lambda: marl.play(GAME, "random", True), "expected episodes to be a whole number from 1 on, got True"),
        (lambda: marl.play(GAME, "random", seed=-1), "expected seed to be a whole number from 0 on, got -1"),
        (lambda: marl.play(GAME, "random", max_steps=0), "expected max_steps to be a whole number from 1 on, got 0"),
        (lambda: marl.play(GAME, [Illegal(), "random"]), "the agent 'Illegal' moved illegally"),
        (lambda: marl.play("foraging", "uct"), "uct"),
        (lambda: marl.train("ippo_tictac"), "did you mean 'ippo_tic_tac_toe'"),
        (
            lambda: marl.play(GAME, []),
            "expected 2 agents, one for each player of 'openspiel:tic_tac_toe', got a list of 0",
        ),
        (
            lambda: marl.play(GAME, [[], "random"]),
            "expected an agent's reference or an object with act(view, hidden), got []",
        ),
        (lambda: marl.evaluate([]), "expected an agent's reference or an object with act(view, hidden), got []"),
        (lambda: marl.evaluate("random", GAME, against=[]), "an object with act(view, hidden), got []"),
        (
            lambda: marl.run_tournament("connect_four", agents=[]),
            "the argument 'agents': expected 1 or more entries, got 0",
        ),
        (lambda: marl.train("quickstart"), "of that name is of a population: `marl population quickstart`"),
        (
            lambda: marl.train("ippo_tic_tac_toe", step=3),
            "unknown key 'step' in the argument 'step'; did you mean 'steps'?",
        ),
        (
            lambda: marl.train("ippo_tic_tac_toe", algorithm={"gamma": 2}),
            "(the argument 'algorithm.gamma'): expected a n",
        ),
        (lambda: marl.train("ippo_tic_tac_toe", seed=object()), "expected numbers, words, lists and keys"),
        (lambda: marl.train(CONFIG), "expected run_dir, as a config without a name has no folder of its own"),
        (lambda: marl.train(3, run_dir="x"), "expected a config's name, path, or keys and values, got 3"),
        (lambda: marl.run_tournament("conect_four"), "did you mean 'connect_four'"),
        (
            lambda: marl.rate("nowhere"),
            "expected a tournament store, got 'nowhere', which does not exist; `marl tournament",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(call, says):
    with pytest.raises(marl.UserError) as refused:
        call()
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert not list(Path().iterdir())
