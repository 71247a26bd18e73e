"""Who an agent is: its digest, and what its declared revision stands for."""

from functools import partial

import numpy as np
import pyspiel
import pytest

from games.keys import fold
from games.references import parse
from games.registry import make
from marl.agents import identity
from marl.agents.built_in import BUILT_IN, CHAT
from marl.agents.identity import digest_of_code
from marl.agents.mcts import Mcts
from marl.rollout.agent import Agent, Random, Stateless
from marl.rollout.loop import play_episodes


def test_digest_of_code_says_who_it_is():
    one = digest_of_code(Mcts, parse("mcts(simulations=5)"))
    assert one == digest_of_code(Mcts, parse("mcts(simulations=5)")) and len(one) == 64
    assert one != digest_of_code(Mcts, parse("mcts(simulations=6)")) != digest_of_code(Random, parse("random"))
    assert len(digest_of_code(pyspiel.MCTSBot, parse("pyspiel:MCTSBot"))) == 64  # no source to read


def first(spec, skip=0):
    return Random(spec)


LAMBDA, OTHER, ONE, TWO = lambda spec: Random(spec), lambda spec: first(spec), partial(first, skip=1), partial(first)


def test_what_is_no_class_is_what_it_is_called_and_where():
    """A lambda, and a partial, which functools would pass for its own."""
    found = [digest_of_code(globals()[name], parse(f"{__name__}:{name}")) for name in ("LAMBDA", "OTHER", "ONE", "TWO")]
    assert len(set(found)) == 4


def test_code_counts_wherever_it_stands(monkeypatch):
    reference, source = parse(f"{__name__}:ONE"), identity._source
    one = digest_of_code(ONE, reference)
    monkeypatch.setattr(identity, "_source", lambda module: source(module) + "# edited" * (module.__name__ == __name__))
    assert digest_of_code(ONE, reference) != one


def test_another_python_is_no_other_agent(monkeypatch):
    class Protocolled(Agent):
        pass

    one, source = digest_of_code(Protocolled, parse("x:Protocolled")), identity._source
    monkeypatch.setattr(identity, "_source", lambda module: "" if module.__name__ == "typing" else source(module))
    assert digest_of_code(Protocolled, parse("x:Protocolled")) == one


def test_an_agent_is_also_what_it_is_made_of(monkeypatch):
    one = digest_of_code(ONE, parse("x:ONE"))
    monkeypatch.setattr(first, "made_of", (pyspiel,), raising=False)
    assert digest_of_code(ONE, parse("x:ONE")) != one


def test_a_built_in_agent_is_its_reference_and_its_revision(monkeypatch):
    """Its text, and the release of this package, count for nothing: no docstring makes stored games be played again."""
    references = {name: parse(name) for name in BUILT_IN}
    before = {name: digest_of_code(BUILT_IN[name], references[name]) for name in BUILT_IN}
    monkeypatch.setattr(identity, "_source", lambda module: f"# edited\n{module.__name__}")
    monkeypatch.setattr(identity, "_release", lambda package: "99.0")
    assert {name: digest_of_code(BUILT_IN[name], references[name]) for name in BUILT_IN} == before
    monkeypatch.setattr(Random, "revision", Random.revision + 1)
    assert digest_of_code(Random, references["random"]) != before["random"]


def test_a_strangers_agent_is_not_another_one_with_our_next_release(monkeypatch):
    class Mine(Stateless):
        pass

    one, release = digest_of_code(Mine, parse("x:Mine")), identity._release
    monkeypatch.setattr(identity, "_release", lambda package: "99.0" if package == "marl" else release(package))
    assert digest_of_code(Mine, parse("x:Mine")) == one


# What each revision of a built-in agent decides. Where this fails, the agent decides otherwise than before: raise its
# `revision`, so that tournaments play its games again, and write down what it decides now.
DECIDES = {
    ("random", 1): (
        (6, 0, 0, 0, 7, 0, 0, 2, 8, 0),
        (4, 0, 0, 5, 7, 0, 0, 0, 3, 0, 0, 2, 6, 0, 0, 1),
        (0, 0, 0, 7, 1, 0, 0, 8, 4, 0, 0, 5, 3, 0, 0, 2),
    ),
    ("mcts", 1): (
        (4, 0, 0, 0, 3, 0, 0, 2, 5, 0),
        (0, 0, 0, 5, 2, 0, 0, 1, 4, 0, 0, 6, 8, 0),
        (2, 0, 0, 7, 8, 0, 0, 6, 5, 0),
    ),
    ("uct", 1): ((4, 0, 0, 0, 2, 0, 0, 3, 6, 0), (2, 0, 0, 5, 4, 0, 0, 0, 6, 0), (4, 0, 0, 7, 5, 0, 0, 8, 3, 0)),
    ("always_cooperate", 1): ((0, 0, 0, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0, 0), (0, 1, 0, 1, 0, 1, 0, 0)),
    ("always_defect", 1): ((1, 0, 1, 0, 1, 0, 1, 0), (1, 1, 1, 0, 1, 0, 1, 0), (1, 1, 1, 1, 1, 1, 1, 0)),
    ("constant", 1): ((0, 0, 0, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0, 0), (0, 1, 0, 1, 0, 1, 0, 0)),
    ("tit_for_tat", 1): ((0, 0, 0, 0, 0, 0, 0, 0), (0, 1, 1, 0, 0, 0, 0, 0), (0, 1, 1, 1, 1, 1, 1, 0)),
    ("grim_trigger", 1): ((0, 0, 0, 0, 0, 0, 0, 0), (0, 1, 1, 0, 1, 0, 1, 0), (0, 1, 1, 1, 1, 1, 1, 0)),
    ("max_damage", 1): (
        (1, 0, 1, 0, 1, 1, 1, 1, 1, 4, 1, 1, 1, 2, 1, 4),
        (0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 1, 3, 0, 0),
        (0, 4, 0, 3, 1, 2, 0, 1, 0, 0, 0, 4, 0, 1, 0, 3),
    ),
    ("best_switch", 1): (
        (4, 0, 2, 0, 4, 1, 2, 1, 4, 4, 3, 1, 2, 2, 4, 4),
        (4, 3, 2, 0, 4, 1, 2, 0, 4, 0, 2, 4, 4, 3, 2, 0),
        (3, 4, 4, 3, 2, 2, 4, 1, 3, 0, 4, 4, 3, 1, 4, 3),
    ),
    ("first_consistent", 1): ((0, 43, 230, 290), (0, 259, 518, 525, 592, 608, 1168), (0, 259, 302, 483, 523, 548)),
    ("random_consistent", 1): ((935, 782, 1094, 80, 290), (667, 1186, 1184, 1168), (126, 101, 487, 979, 548)),
}
PLAYED_AT = {"random": "openspiel:tic_tac_toe", "mcts": "openspiel:tic_tac_toe", "uct": "openspiel:tic_tac_toe"}
PLAYED_AT |= {"max_damage": "battle(turns=8)", "best_switch": "battle(turns=8)"}
PLAYED_AT |= {"first_consistent": "mastermind", "random_consistent": "mastermind"}
DILEMMA = "matrix(game=prisoners_dilemma, steps=4, memory=true)"


def decisions(name):
    """Return the moves of three games of an agent against the random one."""
    venv = make(PLAYED_AT.get(name, DILEMMA), 3)
    roster = [BUILT_IN[name](venv.spec), Random(venv.spec)]
    seatings = np.array([[0, 1][: venv.spec.num_players]] * 3)
    played = play_episodes(venv, roster, np.array([1, 2], np.uint64), fold(3, np.arange(3)), seatings)
    return tuple(tuple(episode.moves.ravel().tolist()) for episode in sorted(played, key=lambda e: e.index))


def test_every_built_in_agent_declares_a_revision():
    assert {(name, kind.revision) for name, kind in BUILT_IN.items() if name != CHAT} == set(DECIDES)


@pytest.mark.parametrize("name", sorted({*BUILT_IN} - {CHAT}))
def test_an_agent_decides_as_its_revision_does(name):
    assert decisions(name) == DECIDES[name, BUILT_IN[name].revision]
