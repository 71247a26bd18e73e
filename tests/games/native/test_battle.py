"""Battle: damage, speed, switches and ends by hand; what is hidden; and the scripted agents."""

import numpy as np
import pytest

from games.check import check_game
from games.errors import UserError
from games.keys import fold, fold_one
from games.native.battle import HP, SWITCH, TYPES, Battle, damage
from games.registry import make
from marl.agents.load import load_entrant
from marl.rollout.types import View

FIRE, GRASS, WATER, STONE = range(4)


@pytest.mark.parametrize("game", ["battle", "battle(turns=3)", "battle(varies=true, turns=10)"])
def test_it_keeps_the_contract(game):
    check_game(game)


def kind(own, second):
    return own * len(TYPES) + second


def battle(one, two, **arguments):
    """Return a battle of teams of kinds, at its first turn."""
    state = Battle(**arguments).initial_state()
    for fighter in (*one, *two):
        state.apply_chance(fighter)
    return state


def test_damage_by_hand():
    assert damage(kind(FIRE, WATER), 0, GRASS) == 20 * 1.5 * 2
    assert damage(kind(FIRE, WATER), 1, FIRE) == 20 * 2
    assert damage(kind(FIRE, FIRE), 1, WATER) == 20 * 1.5 / 2
    assert damage(kind(STONE, GRASS), 0, STONE) == 20 * 1.5 / 2
    assert damage(kind(GRASS, STONE), 1, FIRE) == 20


def test_a_battle_by_hand():
    state = battle([kind(FIRE, FIRE)] * 3, [kind(GRASS, GRASS), kind(WATER, WATER), kind(STONE, STONE)])
    state.apply([0, 0])
    assert state.hp == [[HP - 15, HP, HP], [HP - 60, HP, HP]]
    state.apply([0, SWITCH + 1])  # water comes in before the attack
    assert state.hp[1] == [HP - 60, HP - 15, HP] and state.seen[1] == [True, True, False]
    state.apply([SWITCH + 2, 0])
    assert state.hp[0] == [HP - 15, HP, HP - 60] and state.turn == 3
    assert state.legal_actions(0) == [0, 1, SWITCH, SWITCH + 1]


def test_the_faster_one_hits_first_and_equals_at_once():
    state = battle([kind(FIRE, FIRE)] * 3, [kind(GRASS, WATER)] * 3)
    state.hp[0][0] = state.hp[1][0] = 10
    state.apply([0, 1])
    assert state.hp[0][0] == 10 and state.hp[1][0] == 0 and state.acting() == (1,)
    assert state.legal_actions(1) == [SWITCH + 1, SWITCH + 2]
    state.apply([0, SWITCH + 2])
    assert state.acting() == (0, 1) and state.field == [0, 2] and state.turn == 1
    equal = battle([kind(FIRE, WATER)] * 3, [kind(FIRE, WATER)] * 3)
    equal.hp[0][0] = equal.hp[1][0] = 10
    equal.apply([1, 1])
    assert equal.hp[0][0] == equal.hp[1][0] == 0 and equal.acting() == (0, 1)


def test_ends_by_hand():
    state = battle([kind(FIRE, FIRE)] * 3, [kind(GRASS, GRASS)] * 3)
    state.hp[1] = [10, 0, 0]
    state.apply([0, 0])
    assert state.is_terminal() and state.returns() == (1.0, -1.0)
    draw = battle([kind(FIRE, WATER)] * 3, [kind(FIRE, WATER)] * 3)
    draw.hp = [[10, 0, 0], [10, 0, 0]]
    draw.apply([1, 1])
    assert draw.is_terminal() and draw.returns() == (0.0, 0.0)
    cut = battle([kind(FIRE, FIRE)] * 3, [kind(GRASS, GRASS)] * 3, turns=1)
    cut.apply([0, 0])
    assert cut.is_terminal() and cut.returns() == (1.0, -1.0)


def test_rolls_vary_the_damage_by_chance():
    state = battle([kind(FIRE, FIRE)] * 3, [kind(GRASS, GRASS)] * 3, varies=True)
    state.apply([0, 0])
    assert not state.acting() and len(state.chance_outcomes()) == 9
    low = state.clone()
    low.apply_chance(0)
    state.apply_chance(8)
    assert (low.hp[1][0], low.hp[0][0]) == (HP - 48, HP - 12) and (state.hp[1][0], state.hp[0][0]) == (HP - 72, HP - 18)


def test_the_bench_is_hidden_until_it_is_seen():
    one, two = [kind(FIRE, FIRE)] * 3, [kind(GRASS, GRASS), kind(WATER, STONE), kind(STONE, STONE)]
    state = battle(one, two)
    other = battle(one, [two[0], kind(FIRE, GRASS), kind(WATER, WATER)])
    views = np.zeros((2, 67), np.float32)
    for row, position in zip(views, (state, other), strict=True):
        position.observe(0, row)
    assert (views[0] == views[1]).all() and state.information(0) == other.information(0)
    assert state.information(1) != other.information(1) and state.key() != other.key()
    drawn = [state.resample(0, fold_one(1, k)) for k in range(2000)]
    assert {d.kinds[1][0] for d in drawn} == {two[0]} and {d.kinds[0] for d in drawn} == {tuple(one)}
    assert np.bincount([d.kinds[1][1] for d in drawn], minlength=16).min() > 70
    assert [d.kinds for d in drawn[:20]] == [other.resample(0, fold_one(1, k)).kinds for k in range(20)]
    state.apply([0, SWITCH + 1])
    assert {state.resample(0, k).kinds[1][1] for k in range(20)} == {two[1]}
    assert "unseen" in state.describe(0) and "unseen" not in str(state)
    assert state.action_name(0, 0) == "attack with fire" and state.action_name(1, SWITCH) == "switch to 0, grass/grass"


def chosen(name, state, player):
    game = Battle()
    view = View.of(game.spec, [state], fold(1, 0), first=False, players=np.array([player]))
    return int(load_entrant(name, game.spec).agent.act(view, None)[0].action[0])


def test_max_damage_hurts_most():
    state = battle([kind(FIRE, WATER), kind(WATER, WATER), kind(STONE, STONE)], [kind(FIRE, STONE)] * 3)
    assert chosen("max_damage", state, 0) == 1  # water on fire: 40, fire on fire: 15
    state.hp[0][0] = 0
    assert chosen("max_damage", state, 0) == SWITCH + 1  # water of a water fighter: 60


def test_best_switch_deals_most_and_suffers_least():
    state = battle([kind(GRASS, GRASS), kind(WATER, WATER), kind(STONE, STONE)], [kind(FIRE, FIRE)] * 3)
    assert chosen("best_switch", state, 0) == SWITCH + 1
    state.hp[0] = [HP, 0, 0]
    assert chosen("best_switch", state, 0) in (0, 1)


def test_their_value_is_the_difference_of_points():
    game = Battle()
    state = battle([kind(FIRE, FIRE)] * 3, [kind(GRASS, GRASS)] * 3)
    state.hp[1] = [0, HP // 2, HP]
    state.field[1] = 1
    view = View.of(game.spec, [state] * 2, fold(1, [0, 0]), first=False, players=np.array([0, 1]))
    assert load_entrant("max_damage", game.spec).agent.value(view, None) == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize("text", ["battle(turns=0)"])
def test_what_is_out_of_range_is_refused(text):
    with pytest.raises(UserError, match="expected at least one turn"):
        make(text, 1)
