"""Members are units of work: whatever order they end in, and whatever is killed, the population is the same."""

import errno
import io
import json
import os
import random
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest

from games.errors import RunFailed, UserError
from marl.agents import checkpoint
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.base import engine, units
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Journal, Unit
from marl.training import population, train
from marl.training.config import PopulationConfig
from marl.training.population import check_members, train_members, unit_of
from tests.marl.agents.test_checkpoint import flip, written
from tests.marl.base.test_units import lines
from tests.marl.training.test_sweep import TINY
from tests.marl.training.test_train import same

NAMES = ("a", "b", "c")


def tiny(folder: Path, workers=1, names=NAMES, **changes) -> PopulationConfig:
    """Return a population of tiny members, whose config lies in a folder."""
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(TINY | {"writers": []}))
    members = {name: {"train": str(path), "set": {"seed": place} | changes} for place, name in enumerate(names)}
    return PopulationConfig.model_validate({"members": members, "workers": workers})


@pytest.fixture
def settings(tmp_path):
    return partial(tiny, tmp_path)


def trained(settings: PopulationConfig, folder: Path, *, resume=False) -> str:
    """Train a population, and return what it said."""
    console = Terminal(file=io.StringIO(), width=200, force_terminal=False)
    train_members(settings, folder, resume=resume, device="cpu", console=console)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A population that nothing interrupted."""
    home = tmp_path_factory.mktemp("whole")
    trained(tiny(home), home / "population")
    return home / "population"


def equal(one: Path, other: Path) -> bool:
    """Whether two populations are the same: checkpoints, logs and list to the byte, the journal as a set."""
    runs = all(same(one / "members" / name, other / "members" / name) for name in NAMES)
    listed = (one / "population.json").read_bytes() == (other / "population.json").read_bytes()
    return runs and listed and lines(Journal(one / JOURNAL)) == lines(Journal(other / JOURNAL))


def test_a_line_of_the_journal_says_what_was_trained(whole, settings):
    """In other folders, from a config in another place, the ids are the same: no path is in them."""
    journal = Journal(whole / JOURNAL)
    members = check_members(settings(), Path("elsewhere"), resume=False)
    listed = json.loads((whole / "population.json").read_text())["members"]
    for entry in listed:
        unit = unit_of(entry["id"], members[entry["id"]])
        assert journal.output(unit) == {key: entry[key] for key in ("checkpoint", "digest", "step")}
        inputs = journal.entries[unit.id]["inputs"]
        assert inputs["member"] == entry["id"] and inputs["config"]["algorithm"]["learning_rate"] > 0  # resolved
    text = (whole / JOURNAL).read_text()
    assert str(whole.parent) not in text and len(text.splitlines()) == 3


def test_a_setting_that_is_added_with_a_default_changes_no_id(settings, monkeypatch):
    """Trap: a population in progress did not find its trained members after an upgrade."""
    name = "a"
    before = unit_of(name, check_members(settings(names=(name,)), Path("elsewhere"), resume=False)[name])

    class Later(Ippo.Config):
        added: float = 0.25

    monkeypatch.setattr(Ippo, "Config", Later)
    members = [
        check_members(settings(names=(name,), **changes), Path("elsewhere"), resume=False)[name]
        for changes in ({}, {"algorithm.added": 0.25}, {"algorithm.added": 0.5})
    ]
    same, spelled_out, other = (unit_of(name, member) for member in members)
    assert same == spelled_out == before != other
    assert same.inputs["config"]["algorithm"]["added"] == 0.25  # the journal says it


def test_what_earlier_versions_wrote_is_found(whole, settings, tmp_path):
    """Their ids are those of all inputs."""
    journal, former = Journal(whole / JOURNAL), Journal(tmp_path / JOURNAL)
    for name, member in check_members(settings(), Path("elsewhere"), resume=False).items():
        unit = unit_of(name, member)
        former.add(Unit(unit.kind, unit.inputs, unit.seed), journal.output(unit))
        assert unit.id not in former.entries
        assert unit in former and former.output(unit) == journal.output(unit)


def test_after_an_upgrade_members_that_are_trained_are_taken_over(whole, settings, tmp_path, monkeypatch):
    """The ids are others by another version of the code, and nobody trains again."""
    home = tmp_path / "population"
    shutil.copytree(whole, home)
    monkeypatch.setattr(units, "fingerprint", lambda: "another version")
    monkeypatch.setattr("marl.training.train._stretch", None)
    trained(settings(), home, resume=True)
    assert all(same(whole / "members" / name, home / "members" / name) for name in NAMES)
    assert len(Journal(home / JOURNAL).entries) == 2 * len(NAMES)


def test_members_side_by_side_and_a_population_in_rounds_share_no_folder(whole, settings, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "config.yaml").write_text("method: psro\ngame: openspiel:kuhn_poker\n")
    with pytest.raises(UserError, match="holds a population in rounds, and members side by side need"):
        trained(settings(), tmp_path / "p")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["config.yaml"]


def test_agents_are_inputs_by_their_digests(tmp_path, settings):
    """Two copies of a run in different places are one agent, and give one id."""
    written(tmp_path / "run", key=1)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    sets = [
        {"opponents": {"agents": [str(tmp_path / name)]}, "evaluation.panel": [str(tmp_path / name), "self"]}
        for name in ("run", "copy")
    ]
    members = [check_members(settings(names=("a",), **each), tmp_path / "p", resume=False)["a"] for each in sets]
    assert unit_of("a", members[0]) == unit_of("a", members[1]) != unit_of("b", members[0])
    assert members[0].panel[1] == "self" and str(tmp_path) not in json.dumps(members[0].inputs)


@pytest.mark.parametrize("order", ["reversed", "shuffled", "twice"])
def test_no_order_of_arrival_changes_a_byte(whole, settings, tmp_path, monkeypatch, order):
    real = engine.outcomes

    def outcomes(*arguments, **more):
        found = list(real(*arguments, **more)) * (2 if order == "twice" else 1)
        found.reverse()
        if order == "shuffled":
            random.Random(1).shuffle(found)
        return iter(found)

    monkeypatch.setattr(engine, "outcomes", outcomes)
    trained(settings(), tmp_path / "p")
    assert equal(whole, tmp_path / "p")


def killed_after_a_checkpoint(name, config, folder, device, live):
    """Train a member, and kill this process when the first checkpoint of 'b' is written, once."""
    mark, write = Path(folder) / "killed", checkpoint.write

    def dies(*arguments, **more):
        digest = write(*arguments, **more)
        if name == "b" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return digest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", dies)
        return population.train_member(name, config, folder, device, live)


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_after_its_first_checkpoint(whole, settings, tmp_path, monkeypatch, workers):
    """Test 15: the member goes on from that checkpoint, the command ends well, and all bytes are the same (test 13)."""
    monkeypatch.setattr(population, "train_member", killed_after_a_checkpoint)
    said = trained(settings(workers), tmp_path / "p")
    (tmp_path / "p" / "killed").unlink()
    assert "b: note: its worker process was ended by SIGKILL, and another one took up the work again" in said
    assert all(f"{name}: trained" in said for name in NAMES)
    assert equal(whole, tmp_path / "p")


@pytest.fixture
def copied(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "p")


def test_a_member_in_the_journal_is_not_prepared_again(whole, copied, settings, monkeypatch):
    def prepared(*_, **__):
        raise AssertionError

    monkeypatch.setattr(train, "prepare", prepared)
    said = trained(settings(), copied, resume=True)
    assert said.count("steps; nothing to do") == 3
    assert (copied / JOURNAL).read_bytes() == (whole / JOURNAL).read_bytes() and equal(whole, copied)


@pytest.mark.parametrize("harm", ["no checkpoint", "no run", "another agent", "no journal", "a cut journal"])
def test_what_is_gone_is_done_again(whole, copied, settings, harm):
    run = copied / "members" / "b"
    if harm == "no checkpoint":
        shutil.rmtree(checkpoint.newest(run))
    elif harm == "no run":
        shutil.rmtree(run)
    elif harm == "another agent":
        flip(checkpoint.newest(run) / "agent.safetensors")
    elif harm == "no journal":
        (copied / JOURNAL).unlink()
    else:
        os.truncate(copied / JOURNAL, (copied / JOURNAL).stat().st_size - 10)
    said = trained(settings(), copied, resume=True)
    assert said.count(": already trained to ") == (0 if harm == "no journal" else 2)
    assert equal(whole, copied)


def test_another_config_is_refused_and_nothing_is_written(copied, settings):
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    with pytest.raises(UserError, match=r"the member 'a': the run was begun with algorithm\.hidden: \[8\]"):
        trained(settings(**{"algorithm.hidden": [9]}), copied, resume=True)
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*")} == before


def test_more_steps_are_another_unit(copied, settings):
    said = trained(settings(steps=450), copied, resume=True)
    assert "nothing to do" not in said and said.count(": trained") == 3
    journal = Journal(copied / JOURNAL)
    assert sorted(output["step"] >= 450 for output in journal.outputs.values()) == [False] * 3 + [True] * 3


def test_a_disk_that_fills_at_the_rename_of_a_checkpoint(whole, settings, tmp_path, monkeypatch):
    rename = Path.rename

    def full(path, target):
        if path.parts[-3:-1] == ("b", "checkpoints") and path.name != "000000000.partial":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(RunFailed, match=r"1 of 3 members failed, 'b' first: .*No space left on device"):
            trained(settings(), tmp_path / "p")
    assert len(Journal(tmp_path / "p" / JOURNAL).outputs) == 2
    trained(settings(), tmp_path / "p", resume=True)
    assert equal(whole, tmp_path / "p")


def test_a_disk_that_fills_at_a_line_of_the_journal(whole, settings, tmp_path, monkeypatch):
    def full(journal, unit, output):
        if len(journal.outputs) == 1:
            raise RunFailed("the journal could not be written")
        add(journal, unit, output)

    add = Journal.add
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", full)
        with pytest.raises(RunFailed, match="the journal could not be written"):
            trained(settings(), tmp_path / "p")
    trained(settings(), tmp_path / "p", resume=True)
    assert equal(whole, tmp_path / "p")


def test_the_longest_begin_first(settings, tmp_path):
    given = settings().model_dump()
    for name, steps in (("a", 1), ("b", 150), ("c", 151)):
        given["members"][name]["set"]["steps"] = steps
    said = trained(PopulationConfig.model_validate(given), tmp_path / "p")
    assert [line[0] for line in said.splitlines() if line.endswith(": trained")] == ["c", "b", "a"]
