"""Every agent that can explain a decision explains the one that `act` makes, by the same view and keys."""

import numpy as np
import pytest

from games.keys import fold
from games.registry import make
from marl.agents.load import load_entrant
from marl.agents.mixture import Mixture
from marl.rollout.agent import Random, explain_of, policy_of, value_of
from marl.rollout.referee import Answerable, Trusted
from marl.rollout.types import View
from tests.bots import Drawn
from tests.marl.agents.test_policies import GAME_OF, LEARNERS, asked, loaded
from tests.marl.views import TTT, view

SEARCHES = [
    ("mcts(simulations=30)", "openspiel:tic_tac_toe"),
    ("uct(simulations=30)", "openspiel:tic_tac_toe"),
    ("uct(simulations=30, reuse=true)", "openspiel:tic_tac_toe"),
    ("uct(simulations=30)", "openspiel:leduc_poker"),
    ("uct(simulations=30, mixes=true)", "openspiel:goofspiel(num_cards=4)"),
    ("uct(simulations=30)", "openspiel:pig"),
]


def check(agent, game):
    """Check that explanations tell what `act` does, at some decisions of a game; return those of the last."""
    explain, policy, value = explain_of(agent), policy_of(agent), value_of(agent)
    found = []
    for seen, hidden in asked(agent, game):
        found, actions = explain(seen, hidden), agent.act(seen, hidden)[0].action
        assert [each.action for each in found] == actions.tolist()
        alone = explain(seen.take(1), None if hidden is None else hidden[1:2])[0]
        assert alone.action == found[1].action
        for row, each in enumerate(found):
            legal = seen.action_mask[row]
            if each.policy is not None:
                assert not each.policy[~legal].any() and each.policy.sum() == pytest.approx(1, abs=1e-6)
                assert each.policy[each.action] > 0 or each.visits is not None
            if each.visits is not None:
                assert not each.visits[~legal].any() and each.visits.any()
            assert each.line == () or each.line[0] == each.action
        if policy and all(each.visits is None for each in found):
            np.testing.assert_allclose([each.policy for each in found], np.exp(policy(seen, hidden)[0]), atol=1e-6)
        if value:
            np.testing.assert_allclose([each.value for each in found], value(seen, hidden), rtol=1e-6)
    assert found
    return found


@pytest.mark.parametrize(("name", "game"), [(name, game) for name, games in GAME_OF.items() for game in games])
def test_scripted_agents(name, game):
    check(load_entrant(name, make(game, 1).spec).agent, game)


@pytest.mark.parametrize(("name", "game"), SEARCHES)
def test_searches(name, game):
    assert all(each.visits is not None for each in check(load_entrant(name, make(game, 1).spec).agent, game))


@pytest.mark.parametrize("name", [*LEARNERS])
def test_what_a_learner_trained(name):
    check(loaded(name), LEARNERS[name][0])


@pytest.mark.parametrize(
    ("name", "options"),
    [("alphazero", {"search": False}), ("alphazero", {"sampled_moves": 2}), ("alphazero", {"reuse": True})],
)
def test_options_of_a_checkpoint(name, options):
    check(loaded(name, **options), LEARNERS[name][0])


def test_a_mixture_explains_by_the_member_that_plays():
    game = "openspiel:leduc_poker"
    spec = make(game, 1).spec
    members = [lambda: loaded("ippo"), lambda: load_entrant("constant", spec).agent, lambda: _Mute(spec)]
    for each in check(Mixture(np.ones((3, spec.num_players)), members, spec), game):
        number = int(each.text.removeprefix("member ").split()[0])
        assert (each.policy is None) == (number == 3)


class _Mute(Random):
    policy = None  # type: ignore[assignment]


def test_who_explains_nothing():
    assert explain_of(_Mute(TTT)) is None


@pytest.mark.parametrize("wrap", [lambda agent: Answerable(agent, "x", TTT), lambda agent: Trusted(agent, "x")])
def test_wrappers_forward(wrap):
    check(wrap(load_entrant("uct(simulations=20)", TTT).agent), TTT.name)
    check(wrap(Random(TTT)), TTT.name)
    assert explain_of(wrap(_Mute(TTT))) is None


def test_a_foreign_agent_explains_by_its_policy_and_value():
    agent = load_entrant("tests.bots:Drawn", TTT).agent
    try:
        told, own = (explain_of(each)(view(3), each.initial_hidden(3)) for each in (agent, Drawn(TTT)))
        assert [each.value for each in told] == [each.value for each in own] == [0, 1, 0]
    finally:
        agent.close()


@pytest.mark.parametrize("name", ["uct(simulations=300)", "mcts(simulations=300)"])
def test_a_principal_line_by_hand(name):
    """X holds 0 and 1, O 3 and 4: X to move wins at once at 2, and O to move at 5, whatever X threatens."""
    for moves, line in (((0, 3, 1, 4), (2,)), ((0, 3, 1, 4, 8), (5,))):
        (found,) = _at(name, moves)
        assert found.line == line and found.value == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("name", ["uct(simulations=2000)", "mcts(simulations=2000)"])
def test_a_forced_line(name):
    """O must block at 2, whatever follows: X holds 0 and 1, and then O's best is to block."""
    (found,) = _at(name, (0, 4, 1))
    assert found.line[0] == 2 and len(found.line) >= 3
    assert found.visits.argmax() == 2 and len(set(found.line) | {0, 4, 1}) == len(found.line) + 3  # no cell twice


def _at(name, moves):
    agent, game = load_entrant(name, TTT).agent, make(TTT.name, 1)
    timestep = game.reset(np.zeros(1, np.uint64))
    for move in moves:
        timestep = game.step(np.full((1, 2), move))
    env, player = np.nonzero(timestep.acting)
    return explain_of(agent)(View.at(game, timestep, env, player, fold(1, env), first=np.zeros(1, bool)), None)
