"""The contract's own arithmetic: shapes, the mask's width, an episode's last step, and the Spec as JSON."""

import json
import math
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from games.contract import Box, Entities, Game, State, TimeStep
from games.errors import UserError
from tests.games.plugin import Nim

SPEC = Nim().spec


def test_arrays_have_the_shapes_of_the_glossary():
    timestep = TimeStep.empty(replace(SPEC, global_state_size=5), 3)
    shapes = {name: (array.shape, str(array.dtype)) for name, array in vars(timestep).items()}
    assert shapes == {
        "obs": ((3, 2, 1), "float32"),
        "action_mask": ((3, 2, 2), "bool"),
        "acting": ((3, 2), "bool"),
        "reward": ((3, 2), "float32"),
        "terminated": ((3, 2), "bool"),
        "truncated": ((3, 2), "bool"),
        "global_state": ((3, 5), "float32"),
        "first": ((3,), "bool"),
        "seed": ((3,), "uint64"),
    }


def test_continuous_actions_have_a_mask_of_no_width():
    spec = replace(SPEC, action=Box(4, -1.0, 1.0))
    assert SPEC.num_actions == 2 and spec.num_actions == 0
    assert TimeStep.empty(spec, 1).action_mask.shape == (1, 2, 0)


def test_an_episode_ends_when_everyone_is_over_in_either_way():
    timestep = TimeStep.empty(SPEC, 4)
    timestep.terminated[:] = [[0, 0], [1, 0], [1, 0], [1, 1]]
    timestep.truncated[:] = [[0, 0], [0, 0], [0, 1], [0, 0]]
    assert timestep.last.tolist() == [False, False, True, True]


def test_a_spec_is_json():
    data = json.loads(json.dumps(SPEC.to_json()))
    assert data["action"] == {"discrete": 2} and data["observation"] == {"shape": [1], "dtype": "float32"}
    assert data["return_bounds"] == [-1.0, 1.0] and data["num_players"] == 2
    box = replace(SPEC, action=Box(4, -1.0, 1.0)).to_json()
    assert box["action"] == {"box": {"size": 4, "low": -1.0, "high": 1.0}} and "entities" not in box
    boxes = Box(2, np.array([[0, -1], [0.5, 0]]), ((1.0, 1.0), (2.0, 0.0)))
    spec = replace(SPEC, action=boxes, action_sizes=(2, 1), entities=(Entities("others", 0, 1, 1),))
    data = json.loads(json.dumps(spec.to_json()))
    assert data["action"]["box"] == {"size": 2, "low": [[0.0, -1.0], [0.5, 0.0]], "high": [[1.0, 1.0], [2.0, 0.0]]}
    assert data["entities"] == [{"name": "others", "start": 0, "count": 1, "width": 1}]
    assert spec == replace(spec) and hash(spec.action) == hash(replace(spec).action)


def test_what_a_spec_says_of_teams():
    """A game without teams has the JSON that it had before there were any."""
    four = replace(SPEC, num_players=4)
    text = json.dumps(SPEC.to_json())
    assert text == (
        '{"name": "nim", "num_players": 2, "payoff": "zero_sum", "turns": "sequential", "perfect_information": true, '
        '"chance": false, "searchable": true, "step_rewards": false, "idle_steps": false, "global_state_size": 0, '
        '"max_length": 7, "return_bounds": [-1.0, 1.0], "observation_sizes": [], "action_sizes": [], "observation": '
        '{"shape": [1], "dtype": "float32"}, "action": {"discrete": 2}}'
    )
    assert (SPEC.sides, four.sides) == (2, 4) and "teams" not in four.to_json()
    spec = replace(four, teams=[[0, 2], np.array([1, 3])])
    assert spec.teams == ((0, 2), (1, 3)) and spec.sides == 2 and spec == replace(spec)
    assert json.loads(json.dumps(spec.to_json()))["teams"] == [[0, 2], [1, 3]]
    assert replace(four, teams=np.array([[0, 2], [1, 3]])) == spec and replace(four, teams=[]) == four


@pytest.mark.parametrize(
    "teams",
    [((0, 1, 2, 3),), ((0, 1), (2,)), ((0, 1), (1, 2, 3)), ((0, 1), (2, 3, 4)), ((0, 1), (2, 3), ()), (0, 1), 5, None],
)
def test_teams_that_do_not_divide_the_players_are_refused(teams):
    with pytest.raises(UserError, match=r"^expected teams of 'nim' as two or more groups [^\n]+, got [^\n]+$"):
        replace(SPEC, num_players=4, teams=teams)


def test_one_team_has_no_teams():
    with pytest.raises(UserError, match="expected no teams of 'nim', which pays all players as one team, got"):
        replace(SPEC, payoff="team", teams=((0,), (1,)))


def test_bounds_of_boxes_are_by_player_and_by_number():
    one = replace(SPEC, action=Box(3, -1.0, 2.0), action_sizes=(3, 2))
    low, high = one.action_bounds
    assert low.tolist() == [[-1, -1, -1], [-1, -1, 0]] and high.tolist() == [[2, 2, 2], [2, 2, 0]]
    assert low.dtype == high.dtype == np.float32
    assert one.action_numbers.tolist() == [[True] * 3, [True, True, False]]


@pytest.mark.parametrize(
    "box, said",
    [
        (Box(2, -math.inf, 1.0), "expected finite bounds of the actions of"),
        (Box(2, 0.0, math.nan), "expected finite bounds"),
        (Box(2, 1e39, 1e39), "expected finite bounds"),  # beyond float32
        (Box(2, ((0, 2), (0, 0)), 1.0), "expected finite bounds of the actions of 'spec', low first"),
        (
            Box(2, ((0, 0),), 1.0),
            "as one number, or 2 x 2 of them (players, numbers of an action), got an array of shape",
        ),
    ],
)
def test_bounds_that_are_none_are_refused(box, said):
    with pytest.raises(UserError, match=re.escape(said)):
        replace(SPEC, name="spec", action=box)


@pytest.mark.parametrize("bound", [((0, 1), (0,)), (0.0, 1.0), "low", None])
def test_bounds_that_are_no_table_are_refused(bound):
    with pytest.raises(UserError, match="expected low of a Box as one number, or a table"):
        Box(2, bound, 3.0)


@pytest.mark.parametrize("sizes", [(2,), (2, 3), (0, 1), (1, 1, 1)])
def test_sizes_of_actions_that_do_not_fit_are_refused(sizes):
    with pytest.raises(UserError, match="expected action_sizes of 'spec' as 2 numbers from 1 to 2"):
        replace(SPEC, name="spec", action=Box(2, -1.0, 1.0), action_sizes=sizes)


@pytest.mark.parametrize(
    "group", [Entities("others", 0, 2, 1), Entities("others", -1, 1, 1), Entities("others", 0, 0, 1)]
)
def test_entities_outside_the_view_are_refused(group):
    with pytest.raises(UserError, match="expected entities of 'spec' within its 1 numbers of a view, got Entities"):
        replace(SPEC, name="spec", entities=(group,))


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("payoff", "zerosum", "'zero_sum', 'team' or 'general_sum', got 'zerosum'; did you mean 'zero_sum'?"),
        ("turns", "parallel", "'sequential', 'simultaneous' or 'mixed', got 'parallel'"),
        ("symmetry", "mirrors", "'', 'mirror' or 'square', got 'mirrors'; did you mean 'mirror'?"),
        ("observation", (15,), "an object such as Array((15,)), got (15,)"),
        ("action", 2, "an object such as Discrete(2) or Box(1, -1.0, 1.0), got 2"),
        ("num_players", 0, "at least 1, got 0"),
        ("return_bounds", (1.0, -1.0), "(lowest, highest), got (1.0, -1.0)"),
    ],
)
def test_a_spec_that_says_nothing_is_refused_in_one_sentence(field, value, said):
    with pytest.raises(UserError, match=rf"^expected {field} of 'nim' [^\n]+$") as caught:
        replace(SPEC, **{field: value})
    assert str(caught.value).endswith(said)


def test_a_spec_does_not_change():
    with pytest.raises(FrozenInstanceError):
        SPEC.num_players = 3


def test_a_plug_in_needs_no_base_class():
    assert isinstance(Nim(), Game) and isinstance(Nim().initial_state(), State)
    assert not isinstance(np.zeros(1), Game) and not isinstance(Nim(), State)
