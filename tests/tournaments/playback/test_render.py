"""`marl render`: stored and new games as pictures and animations."""

import io
import json
import xml.etree.ElementTree as xml
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from games.drawing.faults import fault
from games.drawing.svg import Drawing
from marl.base import film
from tests.games.drawing.seen import words
from tests.tournaments.playback.stores import TIC_TAC_TOE, change, played
from tournaments.records.store import Selection, Store

KUHN = "openspiel:kuhn_poker"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return played(tmp_path_factory.mktemp("run"), opening_moves=1)


def rows(path):
    with Store(path) as opened:
        return list(opened.rows(Selection()))


def drawing_in(path):
    """Return the drawing in a file, which is whole."""
    svg = path.read_text("utf-8").rstrip("\n")
    width, height = (float(side) for side in xml.fromstring(svg).get("viewBox").split()[2:])
    drawing = Drawing(svg, width, height)
    assert fault(drawing, []) == ""
    return drawing


def moves_in(path):
    """Return how many marks stand on a board of tic-tac-toe."""
    svg = path.read_text("utf-8")
    return svg.count('<path d="M-') + svg.count('class="stroke-p1" fill="none"')


def test_a_stored_game_is_drawn(store, tmp_path, marl):
    id, game = rows(store)[0]
    code, said, _ = marl("render", store.parent, "--out", tmp_path / "first.svg")
    assert code == 0 and said.splitlines()[0].startswith(f"game: {id[:12]}, ") and "picture: " in said
    assert moves_in(tmp_path / "first.svg") == game.length
    other, longer = rows(store)[3]
    marl("render", store, "--game", other[:10], "--move", "2", "--out", tmp_path / "other.svg")
    assert moves_in(tmp_path / "other.svg") == 2
    before = store.read_bytes()
    marl("render", store, "--game", other[:10], "--every-move", "--out", tmp_path / "each.svg")
    files = sorted(tmp_path.glob("each-*.svg"))
    assert [moves_in(file) for file in files] == list(range(longer.length + 1)) and files[0].name == "each-000.svg"
    assert not (tmp_path / "each.svg").exists() and store.read_bytes() == before


def test_a_game_of_a_seed_is_drawn(store, tmp_path, marl):
    seed = rows(store)[-1][1].fixture.seed
    with Store(store) as opened:
        found = next(id for id, _ in opened.rows(Selection(seed=seed)))
    assert found[:12] in marl("render", store, "--seed", seed, "--out", tmp_path / "x.svg")[1]


def test_a_new_game_is_the_same_whenever_it_is_drawn(tmp_path, marl):
    options = ("render", TIC_TAC_TOE, "--agents", "random", "--agents", "uct(simulations=5)", "--width", "120")
    for suffix in (".svg", ".png", ".gif", ".mp4"):
        one, other, third = (tmp_path / f"{name}{suffix}" for name in ("one", "other", "third"))
        assert marl(*options, "--out", one)[0] == marl(*options, "--out", other)[0] == 0
        assert marl(*options, "--seed", "7", "--out", third)[0] == 0
        assert one.read_bytes() == other.read_bytes() != third.read_bytes()
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png", ".gif", ".mp4"}  # no file in part


def test_an_animation_shows_every_position(store, tmp_path, marl):
    _, game = rows(store)[0]
    code, said, _ = marl("render", store, "--out", tmp_path / "game.gif", "--width", "121", "--seconds", "0.2")
    assert code == 0
    gif = Image.open(io.BytesIO((tmp_path / "game.gif").read_bytes()))
    assert gif.n_frames == game.length + 1 and gif.size == (122, 122) and ", 122 x 122" in said
    durations, marked = [], []
    for frame in range(gif.n_frames):
        gif.seek(frame)
        durations.append(gif.info["duration"])
        marked.append(np.asarray(gif.convert("RGB")).astype(int))
    assert durations == [200] * game.length + [600]
    assert all((one != other).any() for one, other in pairwise(marked))
    assert marl("render", store, "--out", tmp_path / "game.mp4", "--width", "121", "--seconds", "0.2")[0] == 0
    from imageio_ffmpeg import count_frames_and_secs

    assert count_frames_and_secs(str(tmp_path / "game.mp4"))[0] == 2 * game.length + 6


def test_pixels_are_those_of_the_drawing(tmp_path, marl):
    assert marl("render", TIC_TAC_TOE, "--move", "0", "--out", tmp_path / "a.png", "--width", "304")[0] == 0
    light = Image.open(tmp_path / "a.png").convert("RGB")
    assert light.size == (304, 304) and light.getpixel((1, 1)) == (255, 255, 255)
    assert light.getpixel((60, 60)) == (0xEE, 0xF1, 0xF4)
    marl("render", TIC_TAC_TOE, "--move", "0", "--out", tmp_path / "b.png", "--width", "304", "--dark")
    dark = Image.open(tmp_path / "b.png").convert("RGB")
    assert dark.getpixel((1, 1)) == (0x15, 0x18, 0x1B) and dark.getpixel((60, 60)) == (0x23, 0x28, 0x2E)
    assert (np.asarray(light)[270:] < 200).any()  # the names of columns, in a font that is there


def test_a_player_is_shown_what_it_sees(tmp_path, marl):
    out = tmp_path / "kuhn.svg"
    assert marl("render", KUHN, "--move", "1", "--out", out)[0] == 0
    cards = {word for word in words(drawing_in(out)) if word in "JQK"}
    assert len(cards) == 2
    own = []
    for player in (0, 1):
        marl("render", KUHN, "--move", "1", "--player", player, "--out", out)
        own.append([word for word in words(drawing_in(out)) if word in "JQK"])
    assert [len(seen) for seen in own] == [1, 1] and {*own[0], *own[1]} == cards
    marl("render", "dec_tiger", "--move", "1", "--player", "0", "--out", out)
    assert "tiger:" not in out.read_text("utf-8") and "player 0 sees 2 numbers" in " ".join(words(drawing_in(out)))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--out", "x.bmp"), "expected a picture's name that ends in .svg, .png, .gif, .mp4, got 'x.bmp'"),
        (("--out", "nowhere/x.svg"), "the folder of 'nowhere/x.svg' does not exist"),
        (("--out", "x.gif", "--move", "1"), "--move and --every-move draw still pictures, .svg or .png, got 'x.gif'"),
        (("--out", "x.mp4", "--every-move"), "--move and --every-move draw still pictures"),
        (("--out", "x.svg", "--player", "2"), "'openspiel:tic_tac_toe' has players 0 to 1, got --player 2"),
        (("--out", "x.svg", "--move", "10"), " moves, got --move 10"),
        (("--out", "x.svg", "--game", "ab"), "--game names a game of a store, and 'openspiel:tic_tac_toe' is a game"),
        (("--out", "x.svg", *["--agents", "random"] * 3), "expected one agent, or one for each of the 2 seats of"),
        (("--out", "x.svg", "--agents", "randm"), "did you mean 'random'?"),
        (("--out", "x.svg", "--width", "5"), "Invalid value for '--width'"),
        (("--out", "x.gif", "--seconds", "nan"), "expected 0.02 to 60 seconds for each position, got --seconds nan"),
        (("--out", "x.gif", "--seconds", "1e9"), "expected 0.02 to 60 seconds for each position"),
        (("--out", "x.svg", "--seed", 2**64 - 1), "expected a seed up to "),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(arguments, said, tmp_path, marl, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, complaint = marl("render", TIC_TAC_TOE, *arguments)
    assert code == 2 and said in complaint and complaint.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_drawn_is_refused(tmp_path, marl, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = played(tmp_path / "run")
    for arguments, said in (
        (("run", "--agents", "random"), "--agents play a new game, and 'run' has games; name one with --game"),
        (("run", "--game", "zzz"), "expected games with an id that begins with 'zzz'"),
        (("runs/nothing",), "runs/nothing"),
        (("run_",), "run_"),
    ):
        code, _, complaint = marl("render", *arguments, "--out", "x.svg")
        assert code == 2 and said in complaint, complaint
    change(store, "UPDATE games SET moves = NULL")
    code, _, complaint = marl("render", "run", "--out", "x.svg")
    assert code == 2 and "expected moves of the game " in complaint
    assert not (tmp_path / "x.svg").exists()


def test_moves_that_do_not_fit_the_game_are_refused(tmp_path, marl):
    store = played(tmp_path / "run", seeds=1)
    change(store, "UPDATE games SET moves = ?", np.full((9, 2), 7, np.int32).tobytes())
    code, _, complaint = marl("render", store, "--out", tmp_path / "x.svg")
    assert code == 1 and "cannot be played again" in complaint and not (tmp_path / "x.svg").exists()


def test_code_that_a_store_names_is_run_only_where_it_is_trusted(tmp_path, marl):
    store = played(tmp_path / "run", seeds=1)
    db = json.dumps("tests.games.plugin:Nim")
    change(store, "UPDATE meta SET value = ? WHERE key = 'game'", db)
    code, _, complaint = marl("render", store, "--out", tmp_path / "x.svg")
    assert code == 2 and "names code of 'tests.games.plugin'" in complaint and "--trust" in complaint


@pytest.mark.parametrize("suffix, package", [(".png", "resvg_py"), (".gif", "resvg_py"), (".mp4", "imageio_ffmpeg")])
def test_a_missing_extra_is_one_sentence(suffix, package, tmp_path, marl, monkeypatch):
    known = film.find_spec
    monkeypatch.setattr(film, "find_spec", lambda name: None if name == package else known(name))
    code, _, complaint = marl("render", TIC_TAC_TOE, "--out", tmp_path / f"x{suffix}")
    assert (
        code == 2 and f"needs the package '{package}', which is not installed; pip install 'marl[render]'" in complaint
    )
    assert marl("render", TIC_TAC_TOE, "--out", tmp_path / "x.svg")[0] == 0


def test_names_that_look_like_options_and_tall_pictures(tmp_path, marl, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert marl("render", TIC_TAC_TOE, "--out=-y.mp4", "--width", "100", "--seconds", "0.02")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["-y.mp4"]
    monkeypatch.setattr(film, "HIGHEST", 50)
    assert film.write_still(
        Drawing('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 100"/>', 10, 100),
        tmp_path / "x.png",
        film.Look(64),
    ) == (5, 50)


def test_a_full_disk_is_one_sentence(tmp_path, marl, monkeypatch):
    def full(path, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(film, "write_text", full)
    code, _, complaint = marl("render", TIC_TAC_TOE, "--out", tmp_path / "x.svg")
    assert code == 1 and "cannot be written" in complaint and complaint.count("\n") == 1


def test_a_game_without_positions_is_drawn(tmp_path, marl):
    assert marl("render", "foraging(horizon=3)", "--out", tmp_path / "x.gif", "--width", "100")[0] == 0
    assert Image.open(io.BytesIO((tmp_path / "x.gif").read_bytes())).n_frames == 4


def test_an_animation_has_a_bounded_number_of_positions(tmp_path, marl, monkeypatch):
    monkeypatch.setattr(film, "MOST_POSITIONS", 3)
    code, _, complaint = marl("render", "foraging(horizon=3)", "--out", tmp_path / "x.gif")
    assert code == 2 and "expected at most 3 positions in an animation, got 4" in complaint
    monkeypatch.undo()
    monkeypatch.setattr(film, "MOST_OF_A_GIF", 3 * 100 * 100)
    code, _, complaint = marl("render", "foraging(horizon=3)", "--out", tmp_path / "x.gif", "--width", "100")
    assert code == 2 and "got 4 pictures of 100 x 10" in complaint and "make an .mp4" in complaint
    assert list(tmp_path.iterdir()) == []
