"""Files that travel with a task: what is read goes along, what is written comes back, and nothing else."""

import copy
from multiprocessing.reduction import ForkingPickler

import pytest

from games.errors import RunFailed
from marl.base import lock, parcels
from marl.base.parcels import Parcel, Reads, Writes, delivered, opened, pack, packed, placed


def get(content):
    return content


@pytest.fixture
def kept():
    """Return a function that keeps contents, once each."""
    contents = {}

    def put(content, digest):
        contents.setdefault(digest, content)
        return content

    put.contents = contents
    return put


def folder(path, **files):
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def test_here_they_are_text(tmp_path):
    writes = Writes(tmp_path, "a/b")
    assert Reads("random") == "random" and writes == str(tmp_path)
    for copied in (copy.copy(writes), ForkingPickler.loads(ForkingPickler.dumps(writes))):
        assert copied == writes and copied.part == "a/b"


def test_what_is_read_goes_along_and_keeps_its_name_and_its_arguments(tmp_path, kept):
    lies = folder(tmp_path / "000000537", weights="1", lock="2")
    task = {"agent": Reads(lies), Reads(f"{lies}(greedy=true)"): [Reads("random"), 3], "text": str(lies)}
    sent = packed((task,), kept)
    assert len(kept.contents) == 1 and not any(isinstance(value, Reads) for value in sent[0].values())
    lies.rename(tmp_path / "away")
    with opened(sent, get) as ((laid,), written):
        there = parcels.Path(laid["agent"])
        assert there.name == "000000537" and there != lies and (there / "weights").read_text() == "1"
        assert laid[f"{there}(greedy=true)"] == ["random", 3] and laid["text"] == str(lies)
        assert written() is None
    with opened(sent, get) as ((laid,), _):
        assert parcels.Path(laid["agent"]) == there  # laid out once in a process


def test_an_agent_that_has_a_folders_name_is_no_path(tmp_path, kept, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("random", "runs/a(1)", "runs/a"):
        folder(tmp_path / name, weights=name)
    assert packed(Reads("random"), kept) == "random" == packed(Reads("random(x=1)"), kept)[:6]
    for text, behind in {"runs/a(1)": "", "runs/a(greedy=true)": "(greedy=true)"}.items():
        assert packed(Reads(text), kept).behind == behind


def test_paths_hold_in_another_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "runs/a", weights="1")
    writes, reads, agent = placed((Writes("runs/b", "members/a"), {"x": Reads("runs/a(greedy=true)")}, Reads("random")))
    assert (writes, writes.part) == (str(tmp_path / "runs/b"), "members/a") and agent == "random"
    assert reads == {"x": f"{tmp_path}/runs/a(greedy=true)"}


def test_the_part_that_is_written_goes_along_and_comes_back(tmp_path, kept):
    folder(tmp_path, **{"members/a/log": "old", "members/a/gone": "", "members/b/log": "another's", "journal": "1"})
    (tmp_path / "members" / "a" / lock.FILE).touch()
    task = "train", Writes(tmp_path, "members/a")
    with opened(packed(task, kept), get) as ((_, there), written):
        part = parcels.Path(there) / "members" / "a"
        assert sorted(path.name for path in part.iterdir()) == ["gone", "log"]
        assert [path.name for path in parcels.Path(there).iterdir()] == ["members"]
        (part / "gone").unlink()
        folder(part, log="new", **{"checkpoints/1/weights": "2"})
        content = written()
    assert not part.exists() and (tmp_path / "members/a/log").read_text() == "old"
    delivered(task, content)
    assert (tmp_path / "members/a/log").read_text() == "new"
    assert (tmp_path / "members/a/checkpoints/1/weights").read_text() == "2"
    assert sorted(path.name for path in (tmp_path / "members").iterdir()) == ["a", "b"]
    assert not (tmp_path / "members/a/gone").exists()


def test_a_part_that_is_not_there_yet_is_empty(tmp_path, kept):
    task = (Writes(tmp_path / "run", "members/a"),)
    with opened(packed(task, kept), get) as ((there,), written):
        folder(parcels.Path(there), **{"members/a/log": "1"})
        content = written()
    delivered(task, content)
    assert (tmp_path / "run/members/a/log").read_text() == "1"


def test_a_kill_while_a_part_is_replaced_loses_nothing(tmp_path, kept, monkeypatch):
    """Between the two renames only what was written before is there, under another name."""
    task = (Writes(tmp_path, "members/a"),)
    folder(tmp_path, **{"members/a/log": "old"})
    content = pack(folder(tmp_path / "there", log="new"))
    whole = parcels.Path.rename

    def killed(path, target):
        if path.name.endswith(".partial"):
            raise KeyboardInterrupt
        return whole(path, target)

    for again in (lambda: packed(task, kept), lambda: delivered(task, content)):
        monkeypatch.setattr(parcels.Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            delivered(task, content)
        assert not (tmp_path / "members/a").exists()
        monkeypatch.setattr(parcels.Path, "rename", whole)
        again()
    assert (tmp_path / "members/a/log").read_text() == "new"
    assert [path.name for path in (tmp_path / "members").iterdir()] == ["a"]


def test_a_folder_that_is_too_large_is_a_sentence(tmp_path, kept, monkeypatch):
    folder(tmp_path, large="12345")
    monkeypatch.setattr(parcels, "MOST", 4)
    with pytest.raises(
        RunFailed, match=r"has 5 bytes, and 4 are the most that travel to .*drive that all machines share"
    ):
        packed((Reads(tmp_path),), kept)


def test_the_same_files_are_the_same_parcel(tmp_path):
    one, other = (pack(folder(tmp_path / name, a="1", b="2")) for name in ("one", "other"))
    assert one == other and isinstance(packed(Reads(tmp_path / "one"), lambda content, digest: digest), Parcel)
