"""Members whose training diverges: the others go on, and so does the population, to the same bytes."""

import json

import pytest

from games.errors import RunFailed
from marl.agents import checkpoint
from marl.base.terminal import Terminal
from tests.tournaments.populations import test_league_loop, test_loop, test_partners_loop, test_pbt_loop
from tests.tournaments.populations.bytes import contents
from tests.tournaments.populations.test_loop import run
from tournaments.populations.report import write_report
from tournaments.populations.status import print_status

BEYOND = 1e30  # a learning rate with which everything diverges
RATE = test_pbt_loop.RATE
LEARNER = test_loop.TINY["learner"] | {"learning_rate": BEYOND}
POPULATIONS = {
    "psro": lambda **fields: test_loop.config(**test_loop.TINY | {"learner": LEARNER} | fields),
    "pipeline": lambda **fields: test_loop.config(**test_loop.PIPED | {"learner": LEARNER} | fields),
    "league": lambda **fields: test_league_loop.config(
        members={"past": {"opponents": "uniform", "freeze_every": 2, "learner": LEARNER}}, **fields
    ),
    "partners": lambda **fields: test_partners_loop.config(
        set=test_partners_loop.TINY["set"] | {RATE: BEYOND}, **fields
    ),
}


def printed(history, capsys):
    print_status(Terminal(width=500), history)
    return capsys.readouterr().out


@pytest.mark.parametrize("method", POPULATIONS)
def test_a_population_goes_on_with_what_diverged_as_it_last_was(tmp_path, capsys, method):
    history = run(POPULATIONS[method](), tmp_path / "one")
    assert "is not finite at step" in capsys.readouterr().out
    diverged = [member for member in history.members if member.diverged]
    assert diverged and history.over
    for member in diverged:
        assert member.step == checkpoint.read(tmp_path / "one" / member.checkpoint)["step"]
        assert f"{member.id} diverged: '" in printed(history, capsys)
        assert f"{member.id} diverged: " in write_report(history).read_text()
    if method == "league":
        assert {member.learner for member in diverged} == {"past"}
    before = contents(tmp_path / "one")
    run(POPULATIONS[method](workers=2), tmp_path / "one", resume=True)
    assert contents(tmp_path / "one") == before


def of_rates(*rates, **fields):
    return test_pbt_loop.config(vary={RATE: {"choice": list(rates)}}, **fields)


def test_a_member_of_pbt_that_diverged_copies_one_that_did_not(tmp_path, capsys):
    history = run(of_rates(1e-3, BEYOND, size=6, seed=1), tmp_path)
    first = history.found[1]["members"]
    gone = {name for name, member in first.items() if member["settings"][RATE] == BEYOND}
    assert gone and gone == {name for name, member in first.items() if "diverged" in member} != set(first)
    copied = {copy.child: copy for copy in history.copies if copy.round == 1}
    assert gone <= set(copied)
    for name in gone:
        assert copied[name].diverged and copied[name].parent not in gone
        decided = history.decision(1)["members"][name]["parent"]
        assert decided["digest"] == first[copied[name].parent]["digest"]
        assert f"{name} diverged, and copies {copied[name].parent}" in capsys.readouterr().out or gone - {name}
    assert history.over and json.loads(json.dumps(history.to_json()))


def test_where_all_members_of_pbt_diverge_it_ends_in_a_sentence(tmp_path):
    for _ in range(2):
        with pytest.raises(RunFailed, match=r"all members diverged, member-0000 first: '.*begin with other settings"):
            run(of_rates(BEYOND, 2 * BEYOND), tmp_path, resume=True)
