"""What is shown of a population: its report, its status, who descends from whom, and who met whom."""

import html
import json

import numpy as np
import pytest

from games.errors import UserError
from marl.base.terminal import Terminal
from tests.tournaments.populations.test_loop import TINY, config, exact, run
from tournaments.populations import report
from tournaments.populations.files import META, Round, opponents_of
from tournaments.populations.histories import history_of
from tournaments.populations.history import with_error
from tournaments.populations.status import games_of, print_lineage, print_matches, print_status


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return run(config(**TINY), tmp_path_factory.mktemp("population"))


def rewritten(history, number, **fields):
    """Return a history in which a round found something else."""
    round = Round(history.folder, number)
    round.write(META, round.read(META) | fields)
    return history_of(history.folder)


def test_errors_are_shown_with_students_t():
    """The t-table: 2.262 for ten seeds; the normal distribution where their number is not known."""
    assert with_error(0.5, 0.1, 10) == "0.500 ± 0.226" and with_error(0.5, 0.1, None) == "0.500 ± 0.196"
    assert with_error(0.5, 0.0, None) == "0.500" == with_error(0.5, float("nan"), None)


def test_what_was_found_says_by_how_many_seeds(played):
    found = played.found[-1]
    assert TINY["games"]["at_least"] <= found["seeds"] <= TINY["games"]["at_most"]
    assert len(found["gain"]["seeds"]) == 2 and min(found["gain"]["seeds"]) >= TINY["games"]["at_least"]


def test_exploitability_that_rises_is_shown_beside_the_best_so_far(tmp_path):
    """Trap: at Leduc NashConv rises before it falls."""
    history = run(exact("openspiel:kuhn_poker", iterations=3), tmp_path)
    for number, value in enumerate((0.5, 0.9, 0.3)):
        history = rewritten(history, number, nash_conv=value)
    curve, best, gained = history._exploitability()
    assert curve.values[:3] == [0.5, 0.9, 0.3] and best.values[:3] == [0.5, 0.5, 0.3]
    assert len(gained.values) == 4 and gained.values[-1] is None
    page = html.unescape(report.write_report(history).read_text())
    assert curve.name in page and best.name in page and gained.name in page


def test_what_a_best_response_gains_is_the_nash_conv(tmp_path):
    history = run(exact("openspiel:kuhn_poker", iterations=3), tmp_path)
    exact_curve, _, gained = history._exploitability()
    assert gained.values[:-1] == pytest.approx(exact_curve.values[:-1])


def test_a_response_that_gains_nothing_is_warned_of(tmp_path):
    history = run(exact("openspiel:kuhn_poker", iterations=1), tmp_path)
    assert not list(history.warnings)
    nothing = {"mean": [0.1, 0.0], "error": [0.06, 0.0]}
    assert "response-0000" in next(rewritten(history, 1, gain=nothing).warnings)


def test_responses_meet_members_of_earlier_rounds_alone(played):
    """Trap: live weights. Whom a response meets was frozen when its round began."""
    joined = {member.digest: member.round for member in played.members}
    for member in played.members[1:]:
        decided = opponents_of(played.decision(member.round - 1), member.id)
        assert decided and all(joined[digest] < member.round for digest in decided)
        assert [each["weights"] for each in played.origin(member)["opponents"]] == list(decided.values())


def test_who_met_whom(played):
    start, first, _ = played.members
    found = games_of(played, first, start)
    assert len(found["games"]) == found["cells"][0]["games"] + found["cells"][1]["games"]
    for seat, cell in enumerate(found["cells"]):
        paid = [game["payoffs"][seat] for game in found["games"] if game["agents"][seat] == first.id]
        assert cell["payoff"] == pytest.approx(np.mean(paid))
    with pytest.raises(UserError, match="got 'response', which none has"):
        played.member("response")


def test_what_is_printed_names_the_members(played, capsys):
    print_status(Terminal(), played)
    print_lineage(Terminal(), played, played.members)
    print_matches(Terminal(), games_of(played, *played.members[:2]))
    said = capsys.readouterr().out
    assert all(said.count(member.id) >= 2 for member in played.members) and "it is done" in said
    assert json.loads(json.dumps(played.to_json()))["rounds"] == 3
