"""The heat map: it is drawn of any two-player game, the same store gives the same bytes, refusals are a sentence."""

import numpy as np
import pytest
from matplotlib.image import imread

from games.errors import UserError
from tests.tournaments.reports.test_report import make_store
from tournaments.reports.heatmap import draw
from tournaments.reports.summary import summarize

PAYOFFS = [(3.0, 1.0), (-5.0, -5.0), (0.0, 2.0), (1.0, 1.0), (8.0, 0.0)]


def drawn(tmp_path, name="picture.png", **store):
    with make_store(tmp_path / f"{name}.sqlite", **store) as opened:
        return draw(summarize(opened), tmp_path / name)


def test_a_cell_for_each_pairing(tmp_path):
    table = drawn(tmp_path, payoff="general_sum", payoffs=PAYOFFS, step_rewards=True, self_play=True)
    assert table.unit == "step" and table.missing == 0
    pixels = (imread(tmp_path / "picture.png")[..., :3] * 255).round().astype(int)
    colours, count = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    cells = [tuple(colour) for colour, k in zip(colours, count, strict=True) if k > 6_000 and 0 < colour.sum() < 750]
    assert len(cells) == len(np.unique(table.payoff.round(9)))  # one area of its own for each payoff
    drawn(tmp_path, "again.png", payoff="general_sum", payoffs=PAYOFFS, step_rewards=True, self_play=True)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "picture.png").read_bytes()


def test_names_are_no_mathematics(tmp_path):
    with make_store(tmp_path / "s", payoff="general_sum", payoffs=PAYOFFS) as store:
        for id, name in {"aa": r"$\frac{$", "bb": "\x1b[2J$x^2$", "cc": "x" * 5_000}.items():
            store.add_agent(id, name, name)
        draw(summarize(store), tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text(encoding="utf-8").count(r"\x1b[2J$x^2$") == 2  # what its paths spell


def test_zero_sum_games_have_one_too(tmp_path):
    table = drawn(tmp_path)
    assert table.unit == "game" and np.isnan(np.diag(table.payoff)).all() and (tmp_path / "picture.png").exists()


@pytest.mark.parametrize(
    ("name", "store", "said"),
    [
        ("picture.gif", {}, "ends in .png, .pdf, .svg"),
        ("nowhere/picture.png", {}, "make it first"),
        ("picture.png", {"num_players": 3, "payoffs": [(1.0, 2.0, 3.0)]}, "expected two-player games"),
    ],
)
def test_what_cannot_be_drawn(tmp_path, name, store, said):
    with make_store(tmp_path / "s", payoff="general_sum", **store) as opened:
        summary = summarize(opened)
        with pytest.raises(UserError, match=said):
            draw(summary, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_nothing_to_draw(tmp_path):
    with make_store(tmp_path / "s", payoff="general_sum") as opened:
        opened._db.execute("DELETE FROM games")
        with pytest.raises(UserError, match="without any; run it first"):
            draw(summarize(opened), tmp_path / "picture.png")
