"""Environments without positions: grids, planes, and the pixels that environments of other libraries draw."""

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from games.adapters.frames import frame
from games.drawing.drawing import drawing_of_frame
from games.drawing.plane import nearest_colour
from games.registry import make
from tests.games.drawing.seen import colours, shapes, words


def opened(reference, seed=1, steps=()):
    venv = make(reference, 1)
    timestep = venv.reset(np.array([seed], np.uint64))
    for joint in steps:
        timestep = venv.step(np.array([joint]))
    return venv, timestep


def pixels(drawing):
    (picture,) = shapes(drawing, "image")
    return np.asarray(Image.open(io.BytesIO(b64decode(picture["href"].partition(",")[2]))))


def test_foraging():
    venv, timestep = opened("foraging(size=5, food=2)")
    drawn = words(drawing_of_frame(venv))
    assert sorted(drawn) == sorted(str(n) for n in (*venv.food[2, :, 0], *venv.player[2, :, 0]) if n)
    own = drawing_of_frame(venv, 0, 1, timestep.obs[0, 1])
    assert sorted(words(own)) == sorted([*drawn, "player 1"])  # it sees the whole board
    (ring,) = (shape for shape in shapes(own, "circle") if shape["class"] == "stroke-last")
    (disc,) = (shape for shape in shapes(own, "circle") if shape["class"] == "fill-p1")
    assert (ring["cx"], ring["cy"]) == (disc["cx"], disc["cy"])
    whole = [shape for shape in shapes(drawing_of_frame(venv), "circle") if shape["class"] == "fill-p1"]
    assert [(shape["cx"], shape["cy"]) for shape in whole] == [(disc["cx"], disc["cy"])]


@pytest.mark.parametrize("grid", ["false", "true"])
def test_foraging_in_sight(grid):
    venv, timestep = opened(f"foraging(size=8, sight=1, players=3, food=3, grid={grid})", seed=4)
    venv.player[:, :, 0] = [[3, 3, 7], [3, 4, 7], [1, 2, 2]]
    venv.food[:, :, 0] = [[2, 6, 0], [3, 6, 0], [2, 1, 0]]
    venv.look()
    own = drawing_of_frame(venv, 0, 0, timestep.obs[0, 0])
    assert sorted(words(own)) == ["1", "2", "2", "player 0"]  # itself, a player and a food beside it
    assert colours(own, "circle")["fill-faint"] == 1 and colours(own, "circle")["fill-food"] == 1


def test_predator_and_prey():
    venv, timestep = opened("predator_prey(size=6, predators=3, prey=2, sight=1)")
    assert sorted(words(drawing_of_frame(venv))) == ["0", "1", "2"]
    assert colours(drawing_of_frame(venv), "polygon")["fill-prey stroke-prey"] == 2
    timestep.obs[0, 2] = 0
    timestep.obs[0, 2, 0, 1, 1] = timestep.obs[0, 2, 0, 0, 0] = timestep.obs[0, 2, 1, 2, 2] = 1
    own = drawing_of_frame(venv, 0, 2)
    assert words(own) == ["2", "player 2"] and colours(own, "circle")["fill-faint"] == 1
    timestep.obs[0, 2] = 0
    assert words(drawing_of_frame(venv, 0, 2)) == ["player 2 has captured a prey, and left with it"]


def test_the_coin_game():
    venv, _ = opened("coin_game(height=2, width=4)")
    venv.player[0], venv.coin[0], venv.owner[0] = [5, 5], 2, 1
    drawn = drawing_of_frame(venv)
    assert sorted(words(drawn)) == ["O", "X", "o"] and colours(drawn, "circle")["fill-card stroke-p1"] == 1
    discs = {shape["class"]: float(shape["cx"]) for shape in shapes(drawn, "circle")}
    assert discs["fill-p0"] < discs["fill-p1"]  # side by side in one cell
    assert drawing_of_frame(venv, 0, 0) != drawing_of_frame(venv, 0, 1)  # who looks is framed


def test_spread():
    venv, _ = opened("spread(players=2)")
    venv.position[0], venv.landmark[0] = [0, 9 + 0j], [1j, -1]
    drawn = drawing_of_frame(venv, 0, 0)
    centres = {shape["class"]: (float(shape["cx"]), float(shape["cy"])) for shape in shapes(drawn, "circle")}
    assert centres["fill-p0 stroke-ground"] == (drawn.width / 2, drawn.height / 2)
    assert centres["fill-p1 stroke-ground"][0] == drawn.width - 16  # far away: at the edge
    above = [shape for shape in shapes(drawn, "circle") if shape["class"] == "stroke-faint"]
    assert [float(shape["cy"]) for shape in above] == [56.0, drawn.height / 2]


def test_vmas_is_drawn_from_its_shapes():
    venv, timestep = opened("vmas:balance(n_agents=2)")
    drawn = drawing_of_frame(venv)
    assert words(drawn) == ["0", "1"] and shapes(drawn, "polygon") and shapes(drawn, "line")
    assert words(drawing_of_frame(venv, 0, 0, timestep.obs[0, 0]))[0].startswith("player 0 sees ")
    assert nearest_colour(0.75, 0.35, 0.05) == "p1" and nearest_colour(0, 0, 0) == "ink"


@pytest.mark.parametrize(
    "reference", ["pettingzoo:mpe2.simple_tag_v3", "pettingzoo:classic.tictactoe_v3", "gymnasium:gymnasium.CartPole-v1"]
)
def test_pixels_of_other_libraries(reference):
    venv, timestep = opened(reference)
    drawn = drawing_of_frame(venv)
    picture = pixels(drawn)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and np.ptp(picture) > 100
    assert picture.shape[1] / picture.shape[0] == pytest.approx(drawn.width / drawn.height, rel=0.01)
    assert drawing_of_frame(opened(reference)[0]).svg == drawn.svg  # the same game, the same bytes
    own = drawing_of_frame(venv, 0, 0, timestep.obs[0, 0])
    assert bool(shapes(own, "image")) == venv.spec.perfect_information  # else the picture shows what is hidden


def test_a_view_of_pixels_is_drawn_as_them():
    venv, timestep = opened("pettingzoo:butterfly.pistonball_v6(n_pistons=3)")
    own = drawing_of_frame(venv, 0, 1, timestep.obs[0, 1])
    assert np.array_equal(pixels(own), timestep.obs[0, 1])


class Draws:
    metadata = {"render_modes": ["rgb_array"]}
    render_mode = "ansi"

    def __init__(self, picture):
        self.picture = picture

    @property
    def unwrapped(self):
        return self

    def render(self):
        assert self.render_mode == "rgb_array"
        if isinstance(self.picture, Exception):
            raise self.picture
        return self.picture


def test_an_environment_that_cannot_draw_is_left_as_it_was():
    for picture in (ValueError("no display"), None, np.zeros((3, 3)), np.zeros((40, 40, 2), np.uint8)):
        env = Draws(picture)
        assert frame(env, "x") is None and env.render_mode == "ansi"
    env = Draws(np.zeros((30, 20, 3), np.uint8))
    assert frame(env, "x").width == 160 and env.render_mode == "ansi"
    env.metadata = {"render_modes": ["human"]}
    assert frame(env, "x") is None
