"""The claims of this project: commands exist, pages agree; the cheap ones hold."""

import pytest

from marl.base.terminal import Terminal
from tests.claims import commands, pages, table
from tests.claims.__main__ import main, measurement, read_again, recorded, renewed
from tests.claims.running import RUNS, Ended
from tests.claims.table import Measurement, figures_of

CLAIMS = table.read().claims
CHEAP = [name for name, claim in CLAIMS.items() if claim.budget <= 0.5 and not claim.needs and not claim.extras]


def test_pages_and_front_page_say_what_the_claims_say():
    assert pages.faults(table.read(), {path.name: path.read_text("utf-8") for path in pages.pages()}) == []


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_can_be_measured_as_it_is_written(name):
    commands.check(CLAIMS[name])
    for each in CLAIMS[name].tables:
        figures = figures_of(CLAIMS[name], each)
        for _, column, source in figures.sources():
            timed = "CPU-" in figures.titles[column] and "ratio" not in figures.titles[column]
            assert not (timed and any(source.within)), "a time is that of a processor and its load: not compared"


def test_an_unknown_name_is_told_with_the_near_one(capsys):
    assert main(["run", "psro_exakt"]) == 2
    assert "there is no claim 'psro_exakt'; did you mean 'psro_exact'?" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert "expected the names of claims, got none" in capsys.readouterr().err


def test_a_claim_beyond_the_budget_is_refused_before_anything_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "stage_games,coin_game", "--minutes", "3"]) == 2
    assert "the claim 'coin_game' takes" in capsys.readouterr().err
    assert not RUNS.exists()


@pytest.mark.parametrize("minutes", ["nan", "0", "-3", "soon"])
def test_minutes_that_bound_nothing_are_refused(minutes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["run", "happo", "--minutes", minutes])
    assert ended.value.code == 2 and f"above 0, got '{minutes}'" in capsys.readouterr().err
    assert not RUNS.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--record"], "--record is for run, got it with list"),
        (["check", "--minutes", "3"], "--minutes is for run, got it with check"),
        (["page", "happo"], "page writes all pages and takes no names, got 'happo'"),
    ],
)
def test_what_would_change_nothing_is_refused(arguments, complaint, capsys):
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_the_list_has_every_claim_and_the_sum(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"| {name} |" in out for name in CLAIMS)
    hours = sum(claim.budget for claim in CLAIMS.values()) / 60
    assert f"{len(CLAIMS)} claims, {hours:.1f} CPU-hours in all" in out


def test_a_measurement_is_recorded_in_its_entry_alone():
    text = table.TABLE.read_text(encoding="utf-8")
    told = Measurement(date="2027-01-02", processor="An (R) processor", version="9.9")
    after = recorded(text, "qmix_spread", told, 1.234)
    assert len(after.splitlines()) == len(text.splitlines()) - bool(CLAIMS["qmix_spread"].dated)
    changed = [line for line in after.splitlines() if line not in text.splitlines()]
    assert changed == ["    measured: {date: 2027-01-02, processor: An (R) processor, version: 9.9}"] or changed == [
        "    budget: 1.2",
        "    measured: {date: 2027-01-02, processor: An (R) processor, version: 9.9}",
    ]


def test_a_processor_of_any_name_is_recorded(tmp_path):
    told = Measurement(date="2027-01-02", processor=r"Intel64 Family 6, GenuineIntel: \1 #2", version="9.9.0")
    path = tmp_path / "claims.yaml"
    path.write_text(recorded(table.TABLE.read_text(encoding="utf-8"), "qmix_spread", told, 1.0), encoding="utf-8")
    assert table.read(path).claims["qmix_spread"].measured == told


def test_a_measurement_is_read_shown_and_compared(tmp_path, monkeypatch, capsys):
    """`stage_games` with a printed table in the place of its command's."""
    folder = tmp_path / RUNS / "stage_games"
    folder.mkdir(parents=True)
    figures = figures_of(CLAIMS["stage_games"], "stage_games")
    (folder / "stages.md").write_text("\n".join(figures.markdown()))
    again = read_again(figures, folder)
    assert renewed(figures, again).rows == figures.rows
    [command] = CLAIMS["stage_games"].commands
    (folder / "done.jsonl").write_text(f'{{"command": "{command}", "cpu_seconds": 9.0}}\n')
    monkeypatch.chdir(tmp_path)
    assert main(["run", "stage_games"]) == 0
    out = capsys.readouterr().out
    unsaid = "not compared are numbers without an interval or a tolerance: 8"
    assert f"stage_games: holds (8 of 16 figures compared; {unsaid}); 9 CPU-seconds" in out
    assert f"its commands have all ended before; delete '{RUNS / 'stage_games'}' to measure it again" in " ".join(
        out.split()
    )
    moved = (folder / "stages.md").read_text().replace(figures.rows[0][1], "0.9")
    (folder / "stages.md").write_text(moved)
    assert main(["run", "stage_games"]) == 1
    out = capsys.readouterr().out
    assert "refuted: 2 | mean gap: 0.9, claimed 0.0008" in out and "stage_games: does NOT hold" in out


def test_what_is_recorded_is_when_and_where_the_commands_ended(capsys):
    """Trap: figures of last week's commands were stamped with today's date and this machine."""
    first = Ended(1.0, "2026-11-28", "AMD EPYC", "0.2.0")
    told = measurement([first, Ended(1.0, "2026-11-27", "AMD EPYC", "0.2.0")], Terminal())
    assert told == Measurement(date="2026-11-28", processor="AMD EPYC", version="0.2.0")
    told = measurement([first, Ended(1.0, "2026-11-29", "Intel Xeon", "0.2.1")], Terminal())
    assert told == Measurement(date="2026-11-29", processor="AMD EPYC and Intel Xeon", version="0.2.0 and 0.2.1")
    assert not capsys.readouterr().out
    assert measurement([Ended(1.0, "2026-11-27")], Terminal()).date == "2026-11-27"
    assert "commands whose processor was not written down, so that this one is recorded: 1" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_claim_holds(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", name]) == 0, capsys.readouterr().out
