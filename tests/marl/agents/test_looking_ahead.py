"""Agents of agents by reference: who they are, what they may name, and that users' code stays in its process."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from games.adapters.openspiel import load
from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.agents.entrants import Entrant
from marl.agents.load import game_of, identify, load_entrant
from marl.agents.looking_ahead import parts_of, settings_of
from marl.agents.references import is_built_of_ours, is_foreign, not_to_run, plays_last, read
from marl.rollout.agent import Random, preferences_of
from marl.rollout.loop import play_episodes
from marl.rollout.referee import AgentFailed
from marl.rollout.types import View
from marl.training.config import TrainConfig
from marl.training.train import train
from tests.marl.views import TTT

LOOKUPS = "tests.marl.search.lookups"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two checkpoints of a short run at tic-tac-toe."""
    config = TrainConfig(
        game="openspiel:tic_tac_toe",
        algorithm={"name": "ippo", "hidden": [8]},
        steps=200,
        stretch=100,
        num_envs=4,
        rollout_length=8,
        evaluation={"panel": ["random"], "seeds": 1},
    )
    folder = tmp_path_factory.mktemp("look") / "a run, with=signs"
    train(config, folder, resume=False, device="cpu")
    return folder


def test_arguments_that_name_agents_are_told_from_the_others():
    text = "minimax(propose=[random, rollout(base=uct(simulations=2), samples=3), 'runs/x'], reply=random, depth=1)"
    reference = read(text)
    assert parts_of(reference) == {
        "propose": ["random", "rollout(base=uct(simulations=2), samples=3)", "'runs/x'"],
        "reply": ["random"],
    }
    assert settings_of(reference).arguments == (("depth", 1),)
    usual = "uct(simulations=20)"
    assert parts_of(read("minimax(propose=random, reply=none)")) == {"propose": ["random"], "reply": [usual]}
    assert [part.name for part in load_entrant("minimax", TTT).parts] == [usual, usual]


def test_a_reference_in_a_reference_is_a_checkpoint_like_any(run):
    by_name = load_entrant(f"rollout(base='{run}', samples=1)", TTT)
    assert by_name.name == "rollout(base=a run, with=signs, samples=1)" and not by_name.foreign and by_name.size > 0
    assert game_of(f"rollout(base='{run}')") == game_of(f"minimax(propose=[random, '{run}'])") == TTT.name
    with pytest.raises(UserError, match="knows no game of its own"):
        game_of("rollout(base=random)")


def test_another_checkpoint_is_another_player(run, tmp_path):
    first, *_, last = sorted(str(path) for path in (run / "checkpoints").glob("0*"))
    copy = shutil.copytree(run, tmp_path / "copy")
    texts = [f"rollout(base='{path}', samples=1)" for path in (first, last, run, copy)]
    texts += [f"rollout(base='{run}', samples=2)", f"rollout(base=random, opponents='{run}', samples=1)"]
    texts += [f"rollout(base='{run}'(greedy=true), samples=1)", f"minimax(propose='{run}')", f"minimax(reply='{run}')"]
    found = identify(texts, TTT)
    digests = [each.digest for each in found]
    assert digests[1] == digests[2] == digests[3] and len(set(digests)) == len(texts) - 2
    assert found[1].draws == found[3].draws != found[0].draws
    assert not any(each.foreign for each in found)


def test_it_is_what_its_parts_are_to_the_revision(monkeypatch):
    text = "rollout(base=rollout(base=random, samples=1), samples=1)"
    before = load_entrant(text, TTT)
    monkeypatch.setattr(Random, "revision", 2)
    after = load_entrant(text, TTT)
    assert after.digest != before.digest and after.draws == before.draws


def test_whose_code_is_named_is_seen_through_brackets(run):
    code = f"minimax(propose=[random, rollout(base={LOOKUPS}:Mine)])"
    assert not_to_run(code) == "code" and is_foreign(code) and plays_last(code)
    assert not_to_run(f"rollout(base='{run}'(algorithm=my:Algorithm))") == "code"
    assert not_to_run(f"rollout(base='{run}')") == not_to_run("minimax") == ""
    assert not is_foreign(f"rollout(base='{run}')")
    asking = "minimax(propose=chat(model=m, url=http://127.0.0.1:1))"
    assert not_to_run(asking) == "a server" and plays_last(asking) and not is_foreign(asking)


def test_the_parts_before_one_that_is_refused_are_ended(monkeypatch):
    ended = []
    monkeypatch.setattr(Entrant, "rest", lambda entrant: ended.append(entrant.name))
    with pytest.raises(UserError, match="did you mean 'random'"):
        load_entrant("minimax(propose=[uct(simulations=2), randm])", TTT)
    assert ended == ["uct(simulations=2)"]


def test_strangers_may_not_hide_a_path_in_a_population():
    for text, safe in (
        ("rollout(base=random)", True),
        ("minimax(propose=[random, uct])", True),
        ("rollout(base=/etc)", False),
        ("rollout(base=my:Agent)", False),
        ("rollout(base=mixture(runs/x))", False),
        ("minimax(propose=[random, rollout(base=my:Agent)])", False),
    ):
        assert is_built_of_ours(read(text)) == safe, text


def test_it_plays_with_the_same_moves_alone_and_in_a_batch():
    venv, text = make(TTT.name, 5), "rollout(base=random, samples=2)"
    entrant = load_entrant(text, TTT)

    def moves(envs):
        venv = make(TTT.name, envs)
        roster, streams = [entrant.agent, Random(TTT)], np.array([entrant.stream(1), 2], np.uint64)
        played = play_episodes(venv, roster, streams, fold(3, np.arange(5)), np.array([[0, 1]] * 5))
        return {episode.index: episode.moves.tolist() for episode in played}

    assert moves(5) == moves(1) and venv.num_envs == 5


def test_functions_propose_and_evaluate_in_processes_of_their_own():
    text = f"minimax(propose={LOOKUPS}:downwards, reply={LOOKUPS}:everything, evaluate={LOOKUPS}:corners, depth=2)"
    entrant = load_entrant(text, TTT)
    try:
        assert entrant.foreign and len(entrant.parts) == 3 and entrant.parts[0].digest != entrant.parts[1].digest
        state = load("tic_tac_toe", {}).initial_state()
        for square in (4, 0):
            state.apply([square] * 2)
        view = View.of(TTT, [state, state], fold(1, [0, 1]), first=False)
        decision = entrant.agent.act(view, None)[0]
        assert decision.extras["illegal_proposals"].tolist() == [4 * 3] * 2  # at each of four replies
        assert decision.action.tolist() == [8, 8]  # all are worth the same: the first proposal
        assert preferences_of(entrant.parts[0].agent)(view, None)[0].argmax() == 8
    finally:
        entrant.rest()


def test_a_function_that_proposes_nothing_legal_forfeits():
    text = f"minimax(propose={LOOKUPS}:nothing_legal, reply=random, depth=1)"
    entrant = load_entrant(text, TTT)
    try:
        venv = make(TTT.name, 2)
        roster = [entrant.rated(), Random(TTT)]
        played = list(
            play_episodes(venv, roster, fold(1, [0, 1]), fold(3, np.arange(2)), np.array([[0, 1]] * 2), forfeits=True)
        )
        assert [[forfeit.how for forfeit in episode.forfeits] for episode in played] == [["illegal_action"]] * 2
        view = View.of(TTT, [load("tic_tac_toe", {}).initial_state()], fold(1, 0), first=True)
        with pytest.raises(AgentFailed):
            entrant.agent.act(view, None)
    finally:
        entrant.rest()


def test_a_run_of_another_game_is_refused(run):
    with pytest.raises(UserError, match="was trained on 'openspiel:tic_tac_toe', whose views") as refused:
        load_entrant(f"rollout(base='{run}')", make("openspiel:connect_four", 1).spec)
    assert "\n" not in str(refused.value) and Path(run).exists()
