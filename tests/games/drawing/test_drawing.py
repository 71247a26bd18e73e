"""Which drawing a game gets; numbers over it; text; and what is refused."""

import re
import xml.etree.ElementTree as xml
from dataclasses import replace

import numpy as np
import pytest

from games.drawing.colours import COLOURS, stylesheet
from games.drawing.drawing import Area, Drawing, drawing_of, drawing_of_frame, with_values
from games.drawing.faults import fault
from games.drawing.svg import drawing, in_dark, number, rectangle, text
from games.drawing.words import words as lines
from games.errors import UserError
from games.registry import load, make
from tests.games.drawing.seen import colours, shapes, words
from tests.games.plugin import Nim, NimState


class Drawn(Nim):
    def initial_state(self):
        return DrawnState(self.stones, 0)


class DrawnState(NimState):
    def __str__(self):
        return "o" * self.stones

    def draw(self, player):
        if self.stones == 1:
            return None
        if self.stones == 3:
            return "<svg/>"
        if self.stones == 2:
            raise ValueError("no\npencil")
        return drawing(100, 40, [rectangle(Area(0, 0, 40, 40), "board")], {0: Area(0, 0, 40, 40)}, "nim")


class Hostile(Nim):
    """A game whose texts are meant to break out of where they stand."""

    def __init__(self):
        super().__init__()
        self.spec = replace(self.spec, name='"><script>alert(1)</script>', perfect_information=False, resamples=False)

    def initial_state(self):
        return HostileState(7, 0)


class HostileState(NimState):
    def __str__(self):
        return "</text><script>alert(1)</script>\x00\ud800\u202e & \"'\n\x1b[31m  two  spaces"

    def describe(self, player):
        return "]]></svg><image href='http://x'/>"


def test_a_game_draws_itself_by_one_method():
    game = Drawn()
    assert drawing_of(game, game.initial_state()).targets == {0: Area(0, 0, 40, 40)}
    assert words(drawing_of(game, DrawnState(1, 0))) == ["o"]  # None: its text
    with pytest.raises(UserError, match=r"`draw` of 'nim' returned '<svg/>', expected a Drawing, or None"):
        drawing_of(game, DrawnState(3, 0))
    with pytest.raises(UserError, match=r"`draw` of 'nim' failed: ValueError: no pencil .*test_drawing.py"):
        drawing_of(game, DrawnState(2, 0))


def test_text_is_escaped_and_keeps_its_spaces():
    game = Hostile()
    state = game.initial_state()
    whole, own = drawing_of(game, state), drawing_of(game, state, 0)
    for drawn in (whole, own):
        assert fault(drawn, []) == "" and "<script" not in drawn.svg
        xml.fromstring(drawn.svg)
    first, second = words(whole)
    assert first == "</text><script>alert(1)</script>\\x00\\ud800\\u202e & \"'" and second == "\\x1b[31m  two  spaces"
    assert words(own) == ["]]></svg><image href='http://x'/>"] and not shapes(own, "image")


def test_a_player_without_words_sees_its_numbers():
    game = Nim()
    game.spec = replace(game.spec, perfect_information=False, resamples=False)
    state = game.initial_state()
    assert words(drawing_of(game, state, 1)) == ["player 1 sees 1 numbers:", "[7]"]
    venv = make("dec_tiger", 1)
    timestep = venv.reset(np.array([1], np.uint64))
    assert words(drawing_of_frame(venv, 0, 0, timestep.obs[0, 0]))[0] == "player 0 sees 2 numbers:"
    assert words(drawing_of_frame(venv, 0, 0)) == ["dec_tiger", "player 0"]
    assert words(drawing_of_frame(venv, 0))[0].startswith("tiger: ")


def test_a_long_text_is_cut():
    drawn = lines("\n".join(str(k) * 200 for k in range(500)))
    shown = words(drawn)
    assert len(shown) == 80 and "…" in shown and shown[-1].startswith("499") and max(map(len, shown)) == 160
    assert lines("").svg == lines(" \n").svg and fault(lines(""), []) == ""


def test_what_noise_hides_is_not_drawn():
    venv = make("openspiel:tic_tac_toe | messy(phi=0.5, steps=0)", 1)
    timestep = venv.reset(np.array([1], np.uint64))
    assert words(drawing_of_frame(venv, 0, 0, timestep.obs[0, 0]))[0] == "player 0 sees 3 x 3 x 3 numbers:"
    assert drawing_of_frame(venv, 0).targets  # everything


def test_numbers_over_the_places_of_actions():
    places = {0: Area(0, 0, 50, 50), 1: Area(50, 0, 50, 50), 2: Area(50, 0, 50, 50), 3: Area(0, 50, 50, 50)}
    plain = drawing(100, 100, [], places)
    shaded = with_values(plain, {0: 0.2, 1: 0.3, 2: 0.5, 3: 0.0, 9: 7.0})  # 9 has no place
    assert shaded.targets == places and words(shaded) == ["20%", "80%"]
    assert words(with_values(plain, {0: 0.245, 1: 0.755})) == ["25%", "76%"]  # halves go up, as in the page's table
    opacity = [float(shape["opacity"]) for shape in shapes(shaded, "rect") if shape["class"] == "fill-value"]
    assert opacity == [0.3, 0.75]
    bars = [shape for shape in shapes(with_values(plain, {0: 1, 1: 4}, "bars"), "rect") if "value" in shape["class"]]
    assert words(with_values(plain, {0: 12, 1: 1234.0, 2: 100, 3: 3})) == ["1334"]
    assert [float(bar["width"]) for bar in bars] == [11.5, 46.0]
    assert with_values(plain, {}).svg == with_values(plain, {0: 0.0}).svg == plain.svg
    assert with_values(plain, {0: -1.0, 1: float("nan")}).svg == plain.svg


def test_every_colour_has_its_rules_and_dark_replaces_all():
    css = stylesheet()
    assert all(f".fill-{name} {{" in css and f".stroke-{name} {{" in css for name in COLOURS)
    game = load("openspiel:chess")
    light = drawing_of(game, game.initial_state())
    dark = in_dark(light)
    assert dark.targets == light.targets and colours(dark, "rect") == colours(light, "rect")
    for shape in [*shapes(dark, "rect"), *shapes(dark, "path"), *shapes(dark, "text")]:
        for part in shape["class"].split():
            what, name = part.split("-")
            assert shape[what] == COLOURS[name][1]


def test_a_stranger_s_shapes_and_words_stay_in_the_dark_as_they_are():
    words_like_shapes = 'class="fill-ink" fill="x"'
    shape = '<rect class="mine fill-mine" fill="red" stroke="red"/>'
    plain = drawing(50, 50, [shape, text(0, 9, words_like_shapes, 9)], label=words_like_shapes)
    assert fault(plain, []) == "" and shape in in_dark(plain).svg and words(in_dark(plain)) == [words_like_shapes]


def test_coordinates_are_short():
    assert [number(x) for x in (0, -0.0, -0.001, 1.5, -1.25, 10, 100.0, 1 / 3)] == [
        *("0", "0", "0", "1.5", "-1.25", "10", "100", "0.33")
    ]


@pytest.mark.parametrize(
    "svg, said",
    [
        ("<script/>", "has the element <script>"),
        ("<foreignObject/>", "has the element <foreignObject>"),
        ('<rect style="fill:red"/>', 'has the attribute style="fill:red"'),
        ('<rect onclick="x()"/>', 'has the attribute onclick="x\\(\\)"'),
        ('<rect id="a"/>', "has the attribute id"),
        ('<rect fill="url(http://x)"/>', "has the attribute fill"),
        ('<image href="http://x/y.png"/>', "refers to 'http://x/y.png'"),
        ('<rect href="data:image/png;base64,"/>', "refers to"),
        ('<image xmlns:x="http://www.w3.org/1999/xlink" x:href="y.svg"/>', "refers to 'y.svg'"),
        ("<!-- -->", "has a declaration or a comment"),
        ("<rect>", "is not well-formed"),
        ('<a xmlns="http://elsewhere"/>', "has the element"),
    ],
)
def test_faults_of_pictures(svg, said):
    whole = drawing(10, 10, [svg])
    assert re.match(said, fault(whole, []))


def test_faults_of_places():
    good = drawing(10, 10, [text(5, 5, "a", 3)], {1: Area(0, 0, 10, 10)})
    assert fault(good, [1, 2]) == "" and fault(good, [2]) == "has the action 1 among its targets, which is not legal"
    assert "not inside" in fault(drawing(10, 10, [], {1: Area(0, 0, 11, 10)}), [1])
    assert "not inside" in fault(drawing(10, 10, [], {1: Area(0, 0, 0, 10)}), [1])
    assert "not inside" in fault(drawing(10, 10, [], {1: Area(float("nan"), 0, 5, 5)}), [1])
    assert "has an origin and no target" in fault(drawing(10, 10, [], origins={1: Area(0, 0, 5, 5)}), [1])
    assert "the viewBox '0 0 10 10', expected svg and '0 0 20 10'" in fault(replace(good, width=20), [1])
    assert fault("<svg/>", []) == "is '<svg/>', expected a Drawing"
    assert isinstance(good, Drawing)
