"""Golden playthroughs: what a game shows, asks and pays is text that people can read, and that does not change unseen.

Where a game was meant to change, `marl games check REF --write-playthrough FILE` writes its file anew.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from games.errors import UserError
from games.playthrough import playthrough, write
from games.vector import position
from tests.games.plugin import NimState

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "playthroughs").glob("*.txt"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_playthrough_is_played_again(path, tmp_path):
    text = path.read_text(encoding="utf-8")
    reference = text.splitlines()[0].removeprefix("game: ")
    write(reference, tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_text(encoding="utf-8") == text


def test_there_is_one_for_every_native_game_and_for_ten_of_openspiels():
    references = [path.read_text(encoding="utf-8").splitlines()[0].removeprefix("game: ") for path in GOLDEN]
    native = {"matrix", "two_step", "coin_game", "predator_prey", "dec_tiger", "spread", "foraging", "repeat_first"}
    native |= {"mastermind", "battle", "tag"}
    assert native <= {reference.partition("(")[0] for reference in references}
    assert sum(reference.startswith("openspiel:") for reference in references) >= 10


def test_boxes_deaths_and_pixels_are_told():
    text = "\n".join(playthrough("pettingzoo:mpe2.simple_spread_v3(N=2, continuous_actions=True, max_cycles=2)"))
    assert "player 1 chooses 0." in text and "the end: truncated" in text
    text = "\n".join(playthrough("tests.games.test_pettingzoo:Duel"))
    assert "the end: player 0 truncated, player 1 terminated" in text
    assert "48 numbers, sum" in "\n".join(playthrough("tests.games.test_pettingzoo:Tower(views=pixels)"))


def test_a_position_without_words_of_its_own_shows_no_address():
    lines = list(playthrough("tests.games.plugin:Nim"))
    assert "step 0" in lines and not any(" at 0x" in line for line in lines)


def test_a_position_is_shown_in_whatever_words_it_has():
    @dataclass
    class Shown:
        stones: int

    assert position(Shown(3)).endswith("Shown(stones=3)") and position(NimState(3, 0)) == ""


def test_a_long_game_is_cut(monkeypatch):
    monkeypatch.setattr("games.playthrough.MOST_STEPS", 3)
    assert list(playthrough("coin_game"))[-1] == "cut here after 3 steps"


def test_another_seed_is_another_episode_and_views_can_be_left_out():
    first, second = ("\n".join(playthrough("openspiel:kuhn_poker", seed=seed, views=False)) for seed in (0, 1))
    assert first != second and "sees" not in first


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        write("two_step", tmp_path / "nowhere" / "two_step.txt")
