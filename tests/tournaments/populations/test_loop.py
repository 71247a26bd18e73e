"""The rounds of a population: the numbers of exact responses, and the same bytes after every kill."""

import json
import shutil

import numpy as np
import pytest

from games.errors import RunFailed, UserError
from games.registry import make
from marl.agents import checkpoint
from marl.agents.populations import FILE
from marl.base.origin import Origin, typed
from marl.base.schema import validate
from tests.tournaments.populations.bytes import contents, games, killed_at_any_file
from tournaments.playing import play
from tournaments.populations import loop, policies
from tournaments.populations.config import load_population
from tournaments.populations.files import opponents_of
from tournaments.populations.histories import history_of
from tournaments.populations.policies import policies_of
from tournaments.populations.psro import loop as psro
from tournaments.populations.psro.config import PsroConfig
from tournaments.populations.report import write_report
from tournaments.ratings.table import Table
from tournaments.records.store import stored
from tournaments.reports import report
from tournaments.reports.summary import summarize

SIMULTANEOUS = "openspiel:turn_based_simultaneous_game(game={})"
SILENT = "tests.bots:First"  # tells no policy
TINY = {
    "game": "openspiel:kuhn_poker",
    "learner": {"name": "ippo", "hidden": [8], "minibatch_size": 256},
    "response": 600,
    "num_envs": 8,
    "rollout_length": 32,
    "iterations": 2,
    "games": {"at_least": 8, "at_most": 24, "batch": 8},
    "workers": 1,
    "writers": [],
}


PIPED = TINY | {"iterations": 3, "pipeline": 2}


def config(**fields):
    return validate(PsroConfig, {"method": "psro"} | fields, Origin("a test"))


def exact(game, **fields):
    return config(game=game, learner="best_response", payoffs="exact", writers=[], **fields)


def run(settings, folder, **options):
    loop.run(settings, folder, resume=options.pop("resume", False), **options)
    return history_of(folder)


def by_round(history):
    return [found["nash_conv"] for found in history.found]


def played(history, seat=0):
    """Return the probability of each action at the root of a turn-based matrix game, by the newest mixture."""
    known = policies_of(make(history.config.game, 1).spec, "a test")
    mixture, tree = known.mixture(history.found[-1]["weights"]), known.tree
    return mixture[int(np.flatnonzero(tree.player == seat)[0])]


@pytest.mark.parametrize("seed", range(5))
def test_rock_paper_scissors_from_always_rock(tmp_path, seed):
    history = run(
        exact(SIMULTANEOUS.format("matrix_rps()"), start=["constant(action=0)"], iterations=5, seed=seed), tmp_path
    )
    assert played(history) == pytest.approx(np.full(3, 1 / 3), abs=0.05)
    assert by_round(history)[:3] == pytest.approx([2, 2, 0], abs=1e-6) and history.over


@pytest.mark.parametrize("game", ["matrix(game=rock_paper_scissors)", "openspiel:matrix_rps"])
def test_players_who_choose_at_the_same_time(tmp_path, game):
    history = run(exact(game, start=["constant(action=0)"], iterations=5), tmp_path)
    assert by_round(history)[:3] == pytest.approx([2, 2, 0], abs=1e-6) and history.over


def test_biased_rock_paper_scissors(tmp_path):
    history = run(exact(SIMULTANEOUS.format("matrix_brps()"), start=["constant(action=0)"], iterations=6), tmp_path)
    for seat in range(2):
        assert played(history, seat) == pytest.approx([0.0625, 0.625, 0.3125], abs=0.01)


def test_the_newest_response_alone_goes_round_in_circles(tmp_path):
    """Self-play's answer to rock-paper-scissors: a response to the last response, for ever."""
    settings = exact(SIMULTANEOUS.format("matrix_rps()"), start=["constant(action=0)"], iterations=5, solver="last")
    assert by_round(run(settings, tmp_path)) == pytest.approx([2] * 6)


@pytest.mark.parametrize("views", ["", "(observe=information_state)"])
def test_kuhn_poker_is_solved_by_eight_responses(tmp_path, views):
    """The double oracle's numbers; uniform play has NashConv 11/12."""
    found = by_round(run(exact(f"openspiel:kuhn_poker{views}", iterations=8), tmp_path))
    assert found[0] == pytest.approx(11 / 12) and found[-1] == pytest.approx(0, abs=1e-6)
    assert found[4] < 0.3


def test_kuhn_poker_is_not_solved_where_a_members_seats_are_confused(tmp_path, monkeypatch):
    computed = Table.exact.__func__

    def confused(cls, agents, payoff):
        if len(agents) > 1:
            payoff[:, 1] = payoff[::-1, 1]
        return computed(cls, agents, payoff)

    monkeypatch.setattr(Table, "exact", classmethod(confused))
    history = run(exact("openspiel:kuhn_poker", iterations=8, solver="replicator"), tmp_path)
    assert min(by_round(history)) > 0.01


def test_fictitious_play_at_kuhn_poker(tmp_path):
    found = by_round(run(exact("openspiel:kuhn_poker", iterations=20, solver="uniform"), tmp_path))
    assert found[-1] == pytest.approx(2 * 0.054, abs=0.03)


def test_a_response_that_is_a_member_already_ends_the_population(tmp_path):
    history = run(exact(SIMULTANEOUS.format("matrix_rps()"), start=["constant(action=0)"], iterations=9), tmp_path)
    assert len({member.digest for member in history.members}) == len(history.members) < 9
    assert history.doing == "it is done"
    before = contents(tmp_path)
    run(history.config, tmp_path, resume=True)
    assert contents(tmp_path) == before


def test_trained_responses_meet_by_games(tmp_path):
    history = run(config(**TINY), tmp_path)
    assert [member.id for member in history.members] == ["start-0000", "response-0000", "response-0001"]
    table = history.payoff(2)
    first, second = np.array(table["payoff"])
    assert first == pytest.approx(-second.T) and np.array(table["games"]).min() >= 8
    decision = opponents_of(history.decision(1), "response-0001")
    assert np.sum(list(decision.values()), axis=0) == pytest.approx([1, 1])


def test_a_run_that_is_over_is_not_begun_again(tmp_path):
    run(config(**TINY), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="already holds a run; go on with it"):
        run(config(**TINY), tmp_path)
    run(config(**TINY), tmp_path, resume=True)
    assert contents(tmp_path) == before


def test_a_pipeline_trains_each_response_in_several_rounds(tmp_path):
    """Response 1 begins against the start and response 0 as it then is; it ends against response 0 as a member."""
    history = run(config(**PIPED), tmp_path)
    names = ["start-0000", "response-0000", "response-0001", "response-0002"]
    assert [(member.id, member.round) for member in history.members] == list(zip(names, [0, 2, 3, 4], strict=True))
    assert [sorted(history.decision(k)["learners"]) for k in range(4)] == [
        names[1:2],
        names[1:3],
        names[2:4],
        names[3:],
    ]
    assert [len(history.payoff(k)["agents"]) for k in range(5)] == [1, 2, 3, 4, 4]
    started, first, second = (member.digest for member in history.members[:3])
    below = {digest for digest in history.payoff(1)["agents"]} - {started}  # response 0 after one of its two rounds
    assert below != {first} and len(below) == 1
    assert set(opponents_of(history.decision(0), names[1])) == {started}
    assert set(opponents_of(history.decision(1), names[1])) == {started}
    assert set(opponents_of(history.decision(1), names[2])) <= {started} | below
    assert set(opponents_of(history.decision(2), names[2])) <= {started, first}
    assert history.found[1]["gain"] is None and history.found[2]["gain"] is not None
    for k, name in enumerate(names[1:]):
        runs = sorted((tmp_path / "members" / name).iterdir())
        assert [run.name for run in runs] == [f"{k:04d}", f"{k + 1:04d}"]
        about = [checkpoint.read(checkpoint.newest(run)) for run in runs]
        assert about[0]["step"] >= 300 and about[1]["step"] >= 600
        first_of_second = checkpoint.read(min((runs[1] / "checkpoints").glob("0*")))
        assert about[1]["parent"] == about[0]["digest"] or first_of_second["parent"] == about[0]["digest"]
    assert second in history.found[-1]["weights"] or second in history.payoff(4)["agents"]


def test_a_pipeline_keeps_its_length(tmp_path):
    run(config(**PIPED | {"iterations": 2}), tmp_path)
    for changes, key in (({"iterations": 3}, "iterations: 2"), ({"iterations": 2, "pipeline": 1}, "pipeline: 2")):
        with pytest.raises(UserError, match=f"begun with {key}, the config now says"):
            run(config(**PIPED | changes), tmp_path, resume=True)
    with pytest.raises(UserError, match="best_response is computed and not trained, got pipeline: 2; leave it out"):
        exact("openspiel:kuhn_poker", pipeline=2)


@pytest.mark.parametrize(
    "late, fields", [(False, TINY), (True, TINY), (True, PIPED)], ids=["before", "after", "pipeline"]
)
def test_a_kill_at_any_file_changes_no_byte(tmp_path, monkeypatch, late, fields):
    """The run is ended before, or after, whatever it writes is written, once each, and goes on."""
    run(config(**fields), tmp_path / "whole")
    kills = killed_at_any_file(
        monkeypatch, tmp_path / "killed", lambda folder: run(config(**fields), folder, resume=True), psro, late
    )
    assert kills >= 8
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert games(tmp_path / "killed") == games(tmp_path / "whole")


def test_going_on_lists_no_fewer_members_at_any_time(tmp_path, monkeypatch):
    run(config(**TINY), tmp_path)
    listed = []
    monkeypatch.setattr(psro, "write_population", lambda folder, game, members, mixture: listed.append(len(members)))
    run(config(**TINY), tmp_path, resume=True)
    assert listed == [3]


def test_the_order_in_which_work_ends_changes_no_byte(tmp_path, monkeypatch):
    settings = config(**PIPED)
    run(settings, tmp_path / "in order")

    def backwards(function, tasks, *others):
        return reversed([function(*task) for task in tasks])

    monkeypatch.setattr(play.engines, "run", backwards)
    run(settings, tmp_path / "backwards")
    assert contents(tmp_path / "backwards") == contents(tmp_path / "in order")
    assert games(tmp_path / "backwards") == games(tmp_path / "in order")


@pytest.mark.parametrize("workers, fields", [(2, TINY), (3, PIPED)])
def test_the_number_of_workers_changes_no_byte(tmp_path, workers, fields):
    run(config(**fields), tmp_path / "one")
    run(config(**fields | {"workers": workers}), tmp_path / "several")
    assert contents(tmp_path / "several") == contents(tmp_path / "one")
    assert games(tmp_path / "several") == games(tmp_path / "one")


def test_a_response_whose_checkpoint_is_gone_is_made_again(tmp_path):
    run(config(**TINY | {"iterations": 1}), tmp_path)
    before = contents(tmp_path)
    (tmp_path / FILE).unlink()
    shutil.rmtree(tmp_path / "members" / "response-0000")
    run(config(**TINY | {"iterations": 1}), tmp_path, resume=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "lost", ["games.sqlite", "members", "rounds/0001", "rounds/0000/cells.json", "rounds/0001/payoff.json"]
)
def test_what_is_lost_is_made_again_from_the_rest(tmp_path, lost):
    run(config(**TINY), tmp_path / "whole")
    history = run(config(**TINY | {"iterations": 1}), tmp_path / "lost")
    path = tmp_path / "lost" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert len(history_of(tmp_path / "lost").found) <= len(history.found)
    run(config(**TINY), tmp_path / "lost", resume=True)
    assert contents(tmp_path / "lost") == contents(tmp_path / "whole")
    assert games(tmp_path / "lost") == games(tmp_path / "whole")


@pytest.mark.parametrize("name", ["cells", "meta", "payoff"])
def test_a_damaged_file_is_named_and_can_be_deleted(tmp_path, name):
    run(config(**TINY | {"iterations": 1}), tmp_path)
    before, path = contents(tmp_path), tmp_path / "rounds" / "0001" / f"{name}.json"
    for text in ("{", "[]", "{}", '"x"'):
        path.write_text(text)
        with pytest.raises(RunFailed, match=rf"{name}.json' cannot be read .*; delete it, and --resume makes it again"):
            run(config(**TINY | {"iterations": 1}), tmp_path, resume=True)
            history_of(tmp_path).payoff(1)
    path.unlink()
    run(config(**TINY | {"iterations": 1}), tmp_path, resume=True)
    assert contents(tmp_path) == before


def test_fewer_iterations_forget_no_member(tmp_path):
    run(config(**TINY), tmp_path)
    listed = (tmp_path / FILE).read_bytes()
    run(config(**TINY | {"iterations": 1}), tmp_path, resume=True)
    assert (tmp_path / FILE).read_bytes() == listed


def test_a_listed_response_that_names_code_is_not_loaded(tmp_path):
    run(config(**TINY | {"iterations": 1}), tmp_path)
    before, listed = (tmp_path / FILE).read_bytes(), json.loads((tmp_path / FILE).read_text())
    listed["members"][1].update(reference="a_strangers:Code", checkpoint=None)
    (tmp_path / FILE).write_text(json.dumps(listed))
    run(config(**TINY | {"iterations": 1}), tmp_path, resume=True)
    assert (tmp_path / FILE).read_bytes() == before


def test_the_page_of_its_tournament_leaves_its_report_alone(tmp_path):
    page = write_report(run(config(**TINY | {"iterations": 1}), tmp_path))
    before = page.read_bytes()
    with stored(tmp_path / "games.sqlite") as store:
        assert "tournament.html" in report.write_report(summarize(store), tmp_path)
    assert page.read_bytes() == before


def test_more_iterations_go_on_where_fewer_ended(tmp_path):
    run(config(**TINY), tmp_path / "at once")
    run(config(**TINY | {"iterations": 1}), tmp_path / "in two")
    run(config(**TINY), tmp_path / "in two", resume=True)
    assert contents(tmp_path / "in two") == contents(tmp_path / "at once")


def test_another_config_is_refused_unless_changes_are_accepted(tmp_path):
    run(config(**TINY | {"iterations": 1}), tmp_path)
    other = config(**TINY | {"response": 900})
    with pytest.raises(UserError, match=r"begun with response: 600, the config now says 900; .*--accept-changes"):
        run(other, tmp_path, resume=True)
    for fields in ({"game": "openspiel:leduc_poker"}, {"start": ["constant(action=0)"]}):
        with pytest.raises(UserError, match="resume with the same, or name another --run-dir"):
            run(config(**TINY | fields), tmp_path, resume=True, accept_changes=True)
    history = run(other, tmp_path, resume=True, accept_changes=True)
    assert len(history.members) == 3 and history.members[1].step < 900 <= history.members[2].step


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"game": "spread"}, "psro needs a game of two players, and 'spread' has 3"),
        ({"game": "matrix(game=chicken)"}, "solver nash needs a zero-sum game"),
        ({"start": ["random", "random"]}, "are the same agent; leave one out"),
        ({"learner": "ippoo"}, "did you mean 'ippo'"),
        (
            {"game": "matrix(game=rock_paper_scissors, steps=2)", "learner": "best_response"},
            "learner: best_response needs a small game with positions",
        ),
        (
            {"game": "matrix(game=rock_paper_scissors, steps=2)", "payoffs": "exact"},
            "payoffs: exact needs a small game with positions",
        ),
        ({"learner": {"name": "ippo", "entropy": 1}}, "unknown key 'entropy'"),
        ({"games": {"at_least": 1}}, "'games.at_least' in a test: expected a number of at least 2"),
        ({"learner": {"nam": "ippo"}}, "expected the key 'name' of an algorithm, got {'nam': 'ippo'}; add it"),
        ({"learner": {"name": "best_response", "depth": 3}}, "best_response has no settings, got 'depth'; leave it"),
        ({"start": [SILENT], "exploitability": "exact"}, f"'{SILENT}' tells no policy"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path, fields, said):
    with pytest.raises(UserError, match=said):
        run(config(**TINY | fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_members_before_any_response(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "_kept", {})  # as in a process that has read no policy yet
    start = ["random", "constant(action=0)", "constant(action=1)"]
    assert by_round(run(exact("openspiel:kuhn_poker", iterations=1, start=start), tmp_path))[0] is not None


def test_what_may_be_left_out_is_where_a_member_tells_no_policy(tmp_path):
    history = run(config(**TINY | {"start": [SILENT], "iterations": 1}), tmp_path)
    assert by_round(history) == [None, None]


def test_limits_of_games_are_in_order():
    with pytest.raises(UserError, match="expected at_most to be at least at_least, got at_most: 8, at_least: 9"):
        config(**TINY | {"games": {"at_least": 9, "at_most": 8}})


def test_configs_are_read_by_their_method(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("method: psro\ngame: openspiel:kuhn_poker\nlearner: ippo\n")
    assert isinstance(load_population(path, []), PsroConfig)
    assert load_population(path, typed(["learner.hidden=[8]"])).learner == {"name": "ippo", "hidden": [8]}
    for value, said in {"cbt": "'cbt'", "psr": "'psr'; did you mean 'psro'?", "[psro]": r"\['psro'\]"}.items():
        with pytest.raises(
            UserError, match=f"expected method to be one of independent, psro, league, pbt, partners, got {said}"
        ):
            load_population(path, typed([f"method={value}"]))
    path.write_text("game: openspiel:kuhn_poker\nlearner: ippo\n")
    with pytest.raises(UserError, match="add method: psro"):
        load_population(path, [])
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        load_population(tmp_path.__class__("quickstar"), [])
