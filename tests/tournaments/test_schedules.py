"""Schedules with games that are played: what is stored is the same wherever it is interrupted, and however played."""

import json
import shutil

import pytest

from games.errors import UserError
from marl.base.origin import typed
from marl.base.schema import load
from marl.base.terminal import Terminal
from tests.tournaments.test_tournament import TIC_TAC_TOE, marl, play, rows
from tournaments.newcomer import Target, place
from tournaments.playing import play as playing
from tournaments.records.store import Store
from tournaments.reports.report import write_report
from tournaments.reports.summary import summarize
from tournaments.tournament import STORE, TournamentConfig, result_of

AGENTS = ("random", "uct(simulations=1)", "uct(simulations=3)", "uct(simulations=2)")
KINDS = (
    {"kind": "active", "ci95": 150.0},
    {"kind": "swiss", "rounds": 3},
    {"kind": "knockout"},
    {"kind": "ladder"},
    {"kind": "best", "delta": 300.0, "round": 4},
    {"kind": "gauntlet", "focal": ("random",)},
)


def config(schedule, **changes):
    settings = {"game": TIC_TAC_TOE, "agents": AGENTS, "seeds": 5, "workers": 1, "batch": 16}
    return TournamentConfig.model_validate(settings | {"schedule": schedule} | changes)


@pytest.fixture
def asked(monkeypatch):
    """The fixtures that are played; after `left` pieces the run is interrupted."""
    fixtures, left = [], [10**9]

    def watched(game, references, piece, *settings):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        fixtures.extend(piece)
        return play_chunk(game, references, piece, *settings)

    play_chunk = playing.play_chunk
    monkeypatch.setattr(playing, "play_chunk", watched)
    fixtures_and_left = fixtures, left
    return fixtures_and_left


@pytest.mark.parametrize("schedule", KINDS, ids=lambda schedule: schedule["kind"])
def test_interrupted_anywhere_it_plays_the_same_games_once(tmp_path, asked, schedule):
    fixtures, left = asked
    whole = rows(play(config(schedule), tmp_path / "whole"))
    pieces = 10**9 - left[0]
    assert len({f.id for f in fixtures}) == len(fixtures) == len(whole)
    found = (tmp_path / "whole" / "schedule.json").read_bytes() if schedule["kind"] != "gauntlet" else None
    for pieces_before in range(1, pieces, max(1, pieces // 2)):
        folder = tmp_path / str(pieces_before)
        del fixtures[:]
        left[0] = pieces_before
        with pytest.raises(KeyboardInterrupt):
            play(config(schedule), folder)
        left[0] = 10**9
        assert rows(play(config(schedule, batch=5), folder)) == whole
        assert len(fixtures) == len(whole)
        if found:
            assert (folder / "schedule.json").read_bytes() == found


def test_workers_and_batches_change_nothing(tmp_path):
    schedule = {"kind": "active", "ci95": 150.0}
    alone = play(config(schedule), tmp_path / "one")
    together = play(config(schedule, workers=2, batch=7, num_envs=3), tmp_path / "two")
    assert rows(alone) == rows(together)
    assert result_of(tmp_path / "one") == result_of(tmp_path / "two")


def test_other_games_in_the_store_change_nothing(tmp_path):
    """A round robin of more seeds and agents came before: its games are used, and decide nothing beyond their round."""
    schedule = {"kind": "active", "ci95": 120.0, "max_games": 60}
    alone = {row[0] for row in rows(play(config(schedule), tmp_path / "alone"))}
    before = rows(play(config("round_robin", seeds=12, agents=(*AGENTS, "mcts(simulations=9)")), tmp_path / "shared"))
    path = play(config(schedule), tmp_path / "shared")
    assert alone < {row[0] for row in before} and rows(path) == before
    assert result_of(tmp_path / "alone") == result_of(tmp_path / "shared")
    play(config("round_robin"), tmp_path / "shared")
    assert not (tmp_path / "shared" / "schedule.json").exists()  # what was found is of the last schedule


def test_a_game_without_a_result_decides_nothing(tmp_path):
    path = play(config("knockout", max_steps=3), tmp_path)
    with Store(path) as store:
        assert set(store.terminations()) == {"cut"}
    assert result_of(tmp_path)["winner"] == "random"  # all matches are tied: who is listed first
    text = result_of(play(config({"kind": "active", "ci95": 9.0}, max_steps=3), tmp_path / "active").parent)["text"]
    assert text.startswith("Not reached")


def test_three_players_have_gauntlets_and_focal_agents(tmp_path):
    game = "openspiel:kuhn_poker(players=3)"
    agents = ("random", "constant(action=0)", "constant(action=1)", "uct(simulations=1)")
    path = play(config({"kind": "gauntlet", "focal": ("random",)}, game=game, agents=agents, seeds=2), tmp_path / "g")
    assert len(rows(path)) == 3 * 3 * 2
    focal = {"kind": "focal", "focal": ("random",), "floor": -2.0, "ceiling": 4.0}
    path = play(config(focal, game=game, agents=agents, seeds=4), tmp_path / "f")
    lines = result_of(tmp_path / "f")["focal"]
    assert [line["seats"] for line in lines] == ["all", "1", "2"] and [line["games"] for line in lines] == [24, 12, 12]
    assert len(rows(path)) == 24
    assert all(line["score"] == pytest.approx((line["mean"] + 2) / 6) for line in lines)
    table = (tmp_path / "f" / "schedule.md").read_text()
    assert table.startswith("Focal agents, each among agents of the background.\n\n| agent")
    with Store(path) as store:
        written = write_report(summarize(store), path.parent)
    page, text = (written[name].read_text() for name in ("report.html", "leaderboard.md"))
    assert '<h2 id="schedule">Schedule: focal</h2>' in page and 'href="schedule.md"' in page
    assert "## Schedule: focal" in text and table.partition("\n\n")[2].strip() in text
    (path.parent / "schedule.json").write_text('{"kind": "focal", "text": "", "table": 1}')
    with Store(path) as store, pytest.raises(UserError, match=r"schedule\.json', got a file that is damaged; delete"):
        write_report(summarize(store), path.parent)
    with pytest.raises(UserError, match="a game of two players for the schedule 'swiss', got 3"):
        play(config("swiss", game=game, agents=agents), tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gauntlt", "got 'gauntlt'; did you mean 'gauntlet'?"),
        (
            "{focal: [random]}",
            "expected a kind of round_robin, gauntlet, focal, swiss, knockout, ladder, active, best, sprt",
        ),
        (
            "{kind: gauntlet, foccal: [random]}",
            "unknown key 'schedule.foccal' in --set schedule; did you mean 'focal'?",
        ),
        ("{kind: gauntlet}", "the key 'schedule.focal' is missing"),
        ("{kind: swiss, rounds: 0}", "'schedule.rounds' in --set schedule: expected a number above 0, got 0"),
        (
            "{kind: focal, focal: [random], seats: [0]}",
            "'schedule.seats.0' in --set schedule: expected a number above 0",
        ),
        ("{kind: focal, focal: [random], seats: 1}", "'schedule.seats' in --set schedule: expected a list, got 1"),
        ("{kind: focal, focal: [random], seats: [x]}", "'schedule.seats.0' in --set schedule: expected a whole number"),
        ("{kind: focal, focal: [random], floor: 1}", "--set schedule: expected both floor and ceiling or neither"),
        ("{kind: focal, focal: 3}", "'schedule.focal' in --set schedule: expected a list, got 3"),
        ("{kind: focal}", "the key 'schedule.focal' is missing"),
        ("{kind: active, top: 1, agent: random}", "expected one target, got top and agent"),
        ("3", "expected keys and values, got 3"),
    ],
)
def test_configs_that_do_not_fit(tmp_path, text, said):
    path = tmp_path / "tournament.yaml"
    path.write_text(json.dumps({"game": TIC_TAC_TOE, "agents": AGENTS}))
    with pytest.raises(UserError) as caught:
        load(TournamentConfig, path, typed([f"schedule={text}"]))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_seats_of_focal_agents_are_a_list(tmp_path):
    path = tmp_path / "tournament.yaml"
    path.write_text(json.dumps({"game": TIC_TAC_TOE, "agents": AGENTS}))
    changed = typed(["schedule={kind: focal, focal: [random], seats: [1, 2]}"])
    assert load(TournamentConfig, path, changed).schedule.seats == (1, 2)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"kind": "gauntlet", "focal": ("uct(simulations=5)",)}, "expected focal to be listed in 'agents', got 'uct"),
        ({"kind": "gauntlet", "focal": ("randm",)}, "did you mean 'random'"),
        ({"kind": "ladder", "challengers": ("mcts",)}, "expected challengers to be listed in 'agents'"),
        ({"kind": "active", "agent": "mcts"}, "expected agent to be listed in 'agents'"),
        ("sprt", "expected 2 agents for a match, got 4"),
    ],
)
def test_agents_that_are_not_listed(tmp_path, schedule, said):
    with pytest.raises(UserError, match=said):
        play(config(schedule), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_config_that_a_run_wrote_is_read_again(tmp_path):
    wanted = config({"kind": "gauntlet", "focal": ("random",)}, seeds=1)
    play(wanted, tmp_path)
    assert load(TournamentConfig, tmp_path / "config.yaml", record=True) == wanted


def test_a_match(tmp_path, capsys):
    words = ("tournament", "match", "uct(simulations=30)", "random", "--game", TIC_TAC_TOE, "--elo1", "100")
    assert marl(*words, "--workers", "1", "--run-dir", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["decision"] == "H1" and found["elo"] > 100 and found["agents"] == ["uct(simulations=30)", "random"]
    assert len(rows(tmp_path / STORE)) == 2 * sum(found["pentanomial"])
    assert marl(*words[:-1], "-1", "--run-dir", tmp_path) == 2
    assert "expected elo0 below elo1, got 0 and -1" in capsys.readouterr().err


def added(folder, reference, trusted=(), **target):
    return place(folder, reference, Target(**target), Terminal(quiet=True), trusted)


@pytest.fixture
def tournament(tmp_path):
    play(config("round_robin"), tmp_path / "run")
    return tmp_path / "run"


def test_a_newcomer_is_placed_by_its_own_games(tournament, asked):
    fixtures, left = asked
    before = rows(tournament / STORE)
    killed = shutil.copytree(tournament, tournament.parent / "killed")
    path, outcome = added(tournament, "uct(simulations=4)", ci95=110.0, seeds=30)
    after = rows(path)
    assert outcome.reached and set(before) < set(after) and len(after) - len(before) == outcome.facts["games"]
    with Store(path) as store:
        [newcomer] = [agent.id for agent in store.agents() if agent.name == "uct(simulations=4)"]
        [rating] = [r for r in summarize(store).ratings.ratings if r.agent == "uct(simulations=4)"]
    assert all(newcomer in fixture.agents for fixture in fixtures) and rating.ci95 <= 110
    left[0] = 1
    with pytest.raises(KeyboardInterrupt):
        added(killed, "uct(simulations=4)", ci95=110.0, seeds=30)
    left[0] = 10**9
    assert rows(added(killed, "uct(simulations=4)", ci95=110.0, seeds=30)[0]) == after
    again = added(tournament, "uct(simulations=4)", ci95=110.0, seeds=30)[1]
    assert again == outcome and rows(path) == after  # it is there, and known well enough


def test_a_warning_leads_to_the_meta_game_only_where_there_is_one(tmp_path):
    """Rock, paper, scissors in a cycle, and one that met one of them: no payoff table is whole."""
    agents = ("constant(action=0)", "constant(action=1)", "constant(action=2)", "random")
    game, cycle = "matrix(game=rock_paper_scissors)", agents[:3]
    with Store(play(config("round_robin", game=game, agents=cycle, seeds=20), tmp_path)) as store:
        [warning] = [text for text in summarize(store).warnings if "misleading" in text]
        assert warning.endswith("See the meta-game.")
    more = {"kind": "gauntlet", "focal": ("constant(action=0)",)}
    with Store(play(config(more, game=game, agents=agents, seeds=20), tmp_path)) as store:
        summary = summarize(store)
    [warning] = [text for text in summary.warnings if "misleading" in text]
    assert "meta-game" not in warning
    assert summary.no_metagame.startswith(
        "The meta-game is left out. Pairings without a known payoff: 2; a round robin"
    )


def test_a_newcomer_whose_place_stays_unknown_says_what_was_reached(tournament):
    _, outcome = added(tournament, "uct(simulations=4)", ci95=5.0, max_games=24)
    assert outcome.reached is False and "games, all that 'seeds' and 'max_games' allow" in outcome.text


def test_the_command_writes_the_report_of_all(tournament, capsys):
    words = ("tournament", "add", tournament, "uct(simulations=4)", "--max-games", "4")
    assert marl(*words) == 0
    shown = capsys.readouterr().out
    assert (
        "Not reached: the rating of uct(simulations=4)" in shown and "report.html" in shown and "lineage" not in shown
    )
    assert "uct(simulations=4)" in (tournament / "leaderboard.csv").read_text()
    assert marl(*words, "--json") == 0
    assert "uct(simulations=4)" in {line["agent"] for line in json.loads(capsys.readouterr().out)["ratings"]}


def test_without_elo_a_newcomer_meets_all_others(tmp_path):
    game = "matrix(game=prisoners_dilemma, steps=5, memory=true, truncate=true)"
    wanted = config("round_robin", game=game, agents=("tit_for_tat", "always_defect"), seeds=3)
    before = len(rows(play(wanted, tmp_path)))
    path, outcome = added(tmp_path, "random")
    assert len(rows(path)) - before == (2 * 2 + 1) * 3 and outcome.reached is None
    with Store(path) as store:
        assert "without a game" not in " ".join(summarize(store).warnings)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("random()", "'random\\(\\)' and 'random', which is in the store, are the same agent"),
        ("tests.bots:Bad(how=raise, where=all)", "plays against itself without a failure, got 'tests.bots:Bad"),
        ("tests.bots:Cheat()", "as player 1 at step 1 .seed .*. chose 9; mend it"),
        ("runs/nowhere", "does not exist"),
        ("randm", "did you mean 'random'"),
    ],
)
def test_newcomers_that_are_refused(tournament, reference, said):
    before = {path: path.read_bytes() for path in tournament.iterdir()}
    with pytest.raises(UserError, match=said):
        added(tournament, reference)
    assert {path: path.read_bytes() for path in tournament.iterdir()} == before


def test_stores_that_a_newcomer_cannot_enter(tmp_path):
    with pytest.raises(UserError, match="which does not exist"):
        added(tmp_path / "nowhere", "random")
    path = play(config("round_robin", seeds=1), tmp_path / "run")
    (path.parent / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"expected the folder of a tournament, got '.*': its config.yaml does not"):
        added(path, "random")
    wanted = config("round_robin", seeds=1)
    play(wanted, tmp_path / "empty")
    (tmp_path / "empty" / STORE).unlink()
    with Store(tmp_path / "empty" / STORE, create=True):
        pass
    with pytest.raises(UserError, match=r"expected a store that says which game it holds, got .*; run its tournament"):
        added(tmp_path / "empty", "uct(simulations=4)")
    with Store(path) as played, Store(tmp_path / "empty" / STORE, create=True) as store:
        store.set("spec", played.get("spec"))
        store.set("game", played.get("game"))
    with pytest.raises(UserError, match=r"expected a store with games, got .* without any"):
        added(tmp_path / "empty", "uct(simulations=4)")


def test_an_agent_that_has_changed_is_left_out(tmp_path, capsys):
    path = play(config("round_robin", seeds=3), tmp_path)
    with Store(path, create=True) as store:
        [agent] = [agent for agent in store.agents() if agent.name == "random"]
        store.add_agent(agent.id, "gone", "runs/gone")
    place(tmp_path, "uct(simulations=4)", Target(max_games=12), Terminal())
    said = capsys.readouterr().out
    assert "note: 'gone' is left out: expected a checkpoint or a run folder, got 'runs/gone', which does" in said
    assert "among 4 agents" in said


def test_code_that_a_store_names_is_run_only_if_it_is_trusted(tmp_path, capsys):
    agents = (*AGENTS[:2], "tests.bots:Second()")
    play(config("round_robin", seeds=2, agents=agents), tmp_path)
    place(tmp_path, "uct(simulations=4)", Target(max_games=6), Terminal())
    said = capsys.readouterr().out
    assert "note: 'tests.bots:Second()' is left out: it is code, which is not run; if you trust it" in said
    place(tmp_path, "uct(simulations=4)", Target(max_games=6), Terminal(), ["tests.bots:Second()"])
    assert "note:" not in capsys.readouterr().out
    path = tmp_path / "config.yaml"
    whole = path.read_text()
    path.write_text(whole.replace(TIC_TAC_TOE, "openspiel:breakthrough"))
    with pytest.raises(
        UserError, match=r"holds games of 'openspiel:tic_tac_toe', and its config.yaml names 'openspiel:b"
    ):
        added(tmp_path, "uct(simulations=5)")
    path.write_text(whole.replace(TIC_TAC_TOE, "stranger.module:Game"))
    with Store(tmp_path / STORE, create=True) as store:
        store.set("game", "stranger.module:Game")
    with pytest.raises(UserError, match=r"names .* which is not run; if you trust it, type it yourself: --trust"):
        added(tmp_path, "uct(simulations=5)")
