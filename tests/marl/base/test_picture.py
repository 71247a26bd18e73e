"""Pictures: names stand in them as they are written, whatever matplotlib would make of them."""

import matplotlib
import pytest

from games.errors import UserError
from marl.base import picture

NAMES = [r"$\frac{$", "$x^2$", "_hidden", "[bold]", "\x1b[2J\u202e", "日本語", "x" * 5_000, "", "a\nb", r"\alpha $"]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw names in every place; return the figure, which has been written."""

    def draw(names, suffix):
        kept, save = [], picture.save
        monkeypatch.setattr(picture, "save", lambda figure, out: kept.append(figure) or save(figure, out))
        with picture.picture(tmp_path / f"p{suffix}", 9, 5) as figure:
            axes = picture.curve_axes(figure, names[0], picture.label(names[0], 40))
            axes.set_xticks(range(len(names)), [picture.label(name, 20) for name in names])
            axes.set_ylabel(picture.label(names[0], 40))
            lines = [axes.plot([0, 1], [k, k])[0] for k in range(len(names))]
            picture.legend(figure, lines, [picture.label(name, picture.LEGEND_WIDTH) for name in names])
        assert (tmp_path / f"p{suffix}").stat().st_size > 1_000
        return kept[0]

    return draw


@pytest.mark.parametrize("suffix", picture.FORMATS)
def test_names_are_drawn_as_they_are_written(drawn, suffix):
    texts = [text.get_text() for text in drawn(NAMES, suffix).legends[0].get_texts()]
    assert texts[:4] == NAMES[:4] and texts[4:6] == [r"\x1b[2J\u202e", "日本語"] and texts[8:] == [r"a\nb", NAMES[9]]
    assert texts[6].count("\n") == 2 and "…" in texts[6] and len(texts[6]) < 120


def test_the_users_own_settings_make_no_mathematics(drawn):
    with matplotlib.rc_context({"text.usetex": True, "axes.formatter.use_mathtext": True}):
        assert drawn(NAMES, ".svg").legends[0].get_texts()[0].get_text() == NAMES[0]


def test_labels_are_short():
    assert picture.label("a b", 10) == "a b"
    assert max(map(len, picture.label("word " * 1_000, 20).split("\n"))) <= 20


def test_a_picture_of_very_many_names_is_drawn_more_coarsely(tmp_path):
    with picture.picture(tmp_path / "p.png", 4, picture.height(["name"] * 3_000)) as figure:
        figure.text(0.5, 0.5, "name")
    assert (tmp_path / "p.png").stat().st_size > 1_000


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match=r"ends in .png, .pdf, .svg"), picture.picture(tmp_path / "p.gif", 9, 5):
        pass
    with pytest.raises(UserError, match="does not exist; make it first"):
        picture.check(tmp_path / "nowhere" / "p.png")
