"""Boards: every piece is drawn, the last move is marked, and a click means the action that it should."""

import pytest

from games.drawing.drawing import drawing_of
from games.registry import load
from tests.games.drawing.seen import colours, shapes, words


def position(reference, moves):
    """Return a game, and its position after moves by their names."""
    game = load(f"openspiel:{reference}")
    state = game.initial_state()
    for name in moves:
        (player,) = state.acting()
        action = next(a for a in state.legal_actions(player) if state.action_name(player, a).lower() == name.lower())
        state.apply([action] * game.spec.num_players)
    return game, state


def at(drawing, reference, state, name):
    """Return the origin and the target of a move by its name."""
    (player,) = state.acting()
    action = next(a for a in state.legal_actions(player) if state.action_name(player, a).lower() == name.lower())
    return drawing.origins.get(action), drawing.targets.get(action)


def test_connect_four():
    game, state = position("connect_four", ["x3", "o3", "x2", "o6", "x4"])
    drawing = drawing_of(game, state)
    seen = colours(drawing, "circle")
    assert (seen["fill-p0"], seen["fill-p1"], seen["fill-empty"], seen["fill-white"]) == (3, 2, 42 - 5, 1)
    (mark,) = (shape for shape in shapes(drawing, "circle") if shape["class"] == "fill-white")
    column = drawing.targets[4]
    assert column.x < float(mark["cx"]) < column.x + column.width and column.height > 5 * column.width
    assert sorted(drawing.targets) == list(range(7)) and not drawing.origins
    assert drawing_of(game, state, 1).targets == drawing.targets and not drawing_of(game, state, 0).targets
    assert not colours(drawing, "line")
    game, state = position("connect_four", ["x3", "o0", "x3", "o0", "x3", "o0", "x3"])
    assert colours(drawing_of(game, state), "line")["stroke-white"] == 1  # the four that won
    assert drawing_of(game, state).targets == {}


def test_tic_tac_toe():
    game, state = position("tic_tac_toe", ["x(1,1)", "o(0,2)"])
    drawing = drawing_of(game, state)
    assert colours(drawing, "path") == {"stroke-p0": 1} and colours(drawing, "circle") == {"stroke-p1": 1}
    (nought,) = shapes(drawing, "circle")
    assert drawing.targets[1].y == drawing.targets[0].y < float(nought["cy"]) < drawing.targets[3].y
    assert float(nought["cx"]) > drawing.targets[1].x + drawing.targets[1].width
    assert sorted(drawing.targets) == [0, 1, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("size", [5, 9, 19])
def test_go(size):
    game, state = position(f"go(board_size={size})", ["B c3", "W a1"])
    drawing = drawing_of(game, state)
    seen = colours(drawing, "circle")
    assert (seen["fill-black stroke-edge"], seen["fill-white stroke-edge"], seen["fill-last"]) == (1, 1, 1)
    (white,) = (shape for shape in shapes(drawing, "circle") if shape["class"] == "fill-white stroke-edge")
    assert float(white["cy"]) == max(area.centre[1] for area in drawing.targets.values())  # a1 is below, left
    assert len(drawing.targets) == size * size - 2 and size * size not in drawing.targets  # to pass has no place
    game, state = position(f"go(board_size={size})", ["B c3", "W pass"])
    assert "passed" in words(drawing_of(game, state))


def test_othello():
    game, state = position("othello", ["d3"])
    drawing = drawing_of(game, state)
    seen = colours(drawing, "circle")
    assert (seen["fill-black stroke-edge"], seen["fill-white stroke-edge"], seen["fill-last"]) == (4, 1, 1)
    assert seen["fill-weave"] == len(drawing.targets) == 3  # c3, c5, e3


def test_hex():
    game, state = position("hex(num_cols=4, num_rows=3)", ["a1", "d3"])
    drawing = drawing_of(game, state)
    assert colours(drawing, "circle") == {"fill-p0": 1, "fill-p1": 1, "fill-white": 1}
    assert len(shapes(drawing, "polygon")) == 12 and len(drawing.targets) == 10
    assert colours(drawing, "path") == {"stroke-p0": 2, "stroke-p1": 2}
    areas = sorted(drawing.targets.values(), key=lambda area: (area.y, area.x))
    for one in areas:  # no point means two cells
        for other in areas:
            apart = abs(one.centre[0] - other.centre[0]) >= one.width - 0.01
            assert one is other or apart or abs(one.centre[1] - other.centre[1]) >= one.height - 0.01
    explicit = position("hex(num_cols=4, num_rows=3, string_rep=explicit)", ["a1", "d3"])
    assert drawing_of(*explicit).svg == drawing.svg


def test_breakthrough():
    game, state = position("breakthrough(rows=6, columns=5)", ["a5a4", "a2a3"])
    drawing = drawing_of(game, state)
    seen = colours(drawing, "path")
    assert (seen["fill-black stroke-white"], seen["fill-white stroke-edge"]) == (10, 10)
    assert colours(drawing, "rect")["fill-last"] == 2
    assert drawing.origins.keys() == drawing.targets.keys() and len(drawing.targets) == len(state.legal_actions(0))
    origin, target = at(drawing, "breakthrough", state, "b5b4")
    assert origin.x == target.x and target.y == origin.y + origin.height
    turned = drawing_of(game, state, 0)  # player 0, who begins above, sees it from its own side
    begin, end = at(turned, "breakthrough", state, "b5b4")
    assert begin.x == end.x and end.y == begin.y - begin.height
    ranks = [word for word in words(turned) if word.isdigit()]
    assert ranks == ["6", "5", "4", "3", "2", "1"]


def test_chess():
    game, state = position("chess", ["e4", "e5", "Nf3"])
    drawing = drawing_of(game, state)
    outlines = [shape["class"] for shape in shapes(drawing, "path") if shape["class"].startswith("fill")]
    assert (outlines.count("fill-black stroke-white"), outlines.count("fill-white stroke-edge")) == (16, 16)
    assert colours(drawing, "rect")["fill-last"] == 2
    origin, target = at(drawing, "chess", state, "Nc6")
    assert (target.x - origin.x, target.y - origin.y) == (origin.width, 2 * origin.height)
    assert drawing_of(game, state, 1).targets == {}  # White is player 1
    turned = drawing_of(game, state, 0)
    begin, end = at(turned, "chess", state, "Nc6")
    assert (end.x - begin.x, end.y - begin.y) == (-origin.width, -2 * origin.height)


def test_promotions_share_their_places():
    game = load("openspiel:chess")
    state = game.initial_state()
    for name in ("a4", "h5", "a5", "h4", "a6", "h3", "axb7", "hxg2"):
        (player,) = state.acting()
        action = next(a for a in state.legal_actions(player) if state.action_name(player, a) == name)
        state.apply([action, action])
    drawing = drawing_of(game, state)
    promotions = [a for a in state.legal_actions(1) if state.action_name(1, a).startswith("bxa8=")]
    assert len(promotions) == 4
    assert len({(drawing.origins[action], drawing.targets[action]) for action in promotions}) == 1
