"""Credit: a voting game played by bots, the store that keeps its games, and bad input."""

import json

import pytest

from games.errors import UserError
from marl.base.terminal import Terminal
from tests.tournaments.test_tournament import marl
from tournaments.credit import CreditConfig, credit
from tournaments.records.store import STORE, stored
from tournaments.tournament import TournamentConfig, run

# Who plays action 1 votes; the first player and one other win.
VOTING = "matrix(team=[[[0, 0], [0, 0]], [[0, 1], [1, 1]]])"
VOTER, ABSENT = "constant(action=1)", "constant(action=0)"


def found(tmp_path, **changes):
    settings = {"game": VOTING, "agents": (VOTER,), "baseline": ABSENT, "seeds": 3, "workers": 1}
    return credit(CreditConfig(**(settings | changes)), tmp_path / "credit", Terminal(quiet=True))


def test_a_voting_game(tmp_path):
    result = found(tmp_path)
    assert [member.value.mean for member in result.members] == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert (result.everybody.mean, result.nobody.mean, result.coalitions, result.exact) == (1, 0, 8, True)
    with stored(tmp_path / "credit") as store:
        assert len(store) == 3 * 8
    data = json.loads((tmp_path / "credit" / "credit.json").read_text())
    assert data["members"][0]["mean"] == pytest.approx(2 / 3) and data["members"][0]["ci95"] == 0
    assert "| 67 % |" in (tmp_path / "credit" / "credit.md").read_text()


def test_the_sentences_say_what_intervals_there_are(tmp_path):
    assert found(tmp_path).sentences[1:] == [
        "All coalitions played: 8 on each seed; seeds: 3.",
        "Intervals are 95 % intervals of Student's t over seeds.",
    ]
    assert found(tmp_path, seeds=1).sentences[-1] == "No intervals: one seed cannot show its luck."


def test_stored_games_are_not_played_again(tmp_path, monkeypatch):
    before = found(tmp_path)
    monkeypatch.setattr("tournaments.credit.play_into", None)
    assert found(tmp_path).to_json() == before.to_json()
    assert found(tmp_path, seeds=2).to_json()["members"] == before.to_json()["members"]


def test_a_tournament_and_credit_do_not_share_a_folder(tmp_path):
    """Trap: both write config.yaml, and the tournament's agents and seeds were gone."""
    settings = {"game": VOTING, "agents": (VOTER, ABSENT, "random"), "seeds": 1, "workers": 1}
    run(TournamentConfig(**settings), tmp_path / "credit", Terminal(quiet=True))
    before = (tmp_path / "credit" / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="holds a tournament, and the credit of a team needs a folder of its own"):
        found(tmp_path)
    assert (tmp_path / "credit" / "config.yaml").read_bytes() == before
    found(tmp_path / "other")
    with pytest.raises(UserError, match="holds the credit of a team, and a tournament needs a folder of its own"):
        run(TournamentConfig(**settings), tmp_path / "other" / "credit", Terminal(quiet=True))


def test_a_team_of_some_seats_has_the_others_always(tmp_path):
    """The second player always votes, so the first carries all."""
    result = found(tmp_path, team=(2, 0))
    assert [(member.seat, member.value.mean) for member in result.members] == [(0, pytest.approx(1)), (2, 0)]


def test_a_member_who_is_the_baseline_carries_nothing(tmp_path):
    result = found(tmp_path, agents=(VOTER, ABSENT, VOTER))
    assert [member.value.mean for member in result.members] == pytest.approx([0.5, 0, 0.5])


def test_more_than_eight_members_play_a_sample_of_coalitions(tmp_path):
    result = found(tmp_path, game="spread(players=9)", agents=("constant(action=2)",), seeds=2)
    assert (result.exact, result.coalitions, len(result.members)) == (False, 128, 9)
    total = sum(member.value.mean for member in result.members)
    assert total == pytest.approx(result.everybody.mean - result.nobody.mean)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"team": (0, 3)}, "expected a team of seats 0 to 2 of .*, got seat 3; name seats that the game has"),
        ({"team": (1, 1)}, "expected each seat of a team once, got 1, 1"),
        ({"team": "team:0"}, "expected a team of .*, which has no teams, got 'team:0'; name seats"),
        (
            {"game": "tag", "team": "team:2"},
            "expected a team of 'tag', which has teams 0 to 1, got 'team:2'; name one of these",
        ),
        ({"game": "tag", "team": (3,)}, "expected a team of seats 0 to 2 of 'tag', got seat 3"),
        ({"game": "tag"}, "expected a team of 'tag', whose players together gain nothing, got none; name one, such as"),
        ({"agents": (VOTER, VOTER)}, "expected one agent for all seats or 3, one for each, got 2"),
        ({"baseline": "grim_trigger"}, "grim_trigger"),
        ({"baseline": "nobody"}, "nobody"),
        ({"budget": 5}, "a budget is for teams of more than 8 members: all coalitions of 3 play; leave it out"),
        ({"game": "nothing"}, "nothing"),
        (
            {"game": "spread(players=9)", "budget": 20},
            "expected a budget of at least 50 coalitions for 9 members, got 20",
        ),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_written(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        found(tmp_path, **changes)
    assert not (tmp_path / "credit").exists()


def test_a_team_of_the_game(tmp_path):
    """Its members' seats, against whoever holds the other one; a report then says that mixed teams do not count."""
    settings = {"game": "tag(size=3, turns=2)", "agents": ("random",), "baseline": "constant", "seeds": 4}
    by_name = found(tmp_path, **settings, team="team:0")
    assert [member.seat for member in by_name.members] == [0, 1]
    by_seats = found(tmp_path, **settings, team=(0, 1))
    assert by_seats.to_json() == by_name.to_json()
    with stored(tmp_path / "credit") as store:
        assert store.mixed() == 2 * 4


def test_a_folder_of_another_game(tmp_path):
    found(tmp_path)
    with pytest.raises(UserError, match="holds a tournament of 'matrix"):
        found(tmp_path, game="spread", agents=("random",), baseline="random")


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = ["tournament", "credit", VOTING, VOTER, "--baseline", ABSENT, "--seeds", "2", "--workers", "1"]
    assert marl(*call, "--run-dir", "c") == 0
    printed = capsys.readouterr().out
    assert "0.667" in printed and "credit (Shapley values) divides the difference" in printed
    assert marl(*call, "--run-dir", "c", "--json") == 0
    assert json.loads(capsys.readouterr().out)["coalitions"] == 8
    assert marl(*call, "--team", "0,x", "--run-dir", "d") == 2
    assert "expected --team as seats such as 0,1, or as team:0, got '0,x'" in capsys.readouterr().err
    assert marl(*call, "--team", "7", "--run-dir", "d") == 2
    assert not (tmp_path / "d").exists() and (tmp_path / "c" / STORE).exists()
