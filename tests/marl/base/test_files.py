"""Files that may be a stranger's: read within bounds, and written through no symbolic link."""

import os
from pathlib import Path

import pytest

from games.errors import UserError
from marl.base import files


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "link", "loop", ".", "none", "x" * 300):
        with pytest.raises(OSError):
            files.read_text(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(files.MOST_TEXT + 1)
    assert len(files.read_bytes(tmp_path / "sparse")) == files.MOST_TEXT + 1
    with pytest.raises(OSError, match="it has 67,108,865 bytes, and 67,108,864 are the most"):
        files.read_text(tmp_path / "sparse")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "", "{", "9" * 5000])
def test_json_that_is_none(text):
    with pytest.raises(ValueError):
        files.parse_json(text)


@pytest.mark.parametrize("name", ["a", "a/b", "./a", "a/../a", "inner"])
def test_paths_within_a_folder(name, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "inner").symlink_to(tmp_path / "a")
    assert files.inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/", "/etc", "out", "out/x", "a\0"])
def test_paths_that_lead_out_of_a_folder(name, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "out").symlink_to(tmp_path)
    with pytest.raises(ValueError):
        files.inside(home, name)


def test_nothing_is_written_through_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in ("text", "text.partial", "log"):
        (tmp_path / name).symlink_to(precious)
    files.write_text(tmp_path / "text", "new")
    assert (tmp_path / "text").read_text() == "new" and not (tmp_path / "text").is_symlink()
    for target in (precious, tmp_path / "dangling"):
        (tmp_path / "log").unlink()
        (tmp_path / "log").symlink_to(target)
        with pytest.raises(OSError):
            files.append_text(tmp_path / "log")
    assert precious.read_text() == "precious" and not (tmp_path / "dangling").exists()


def test_a_log_is_appended_to(tmp_path):
    for text in ("a\n", "ü\n"):
        with files.append_text(tmp_path / "log") as log:
            log.write(text)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "a\nü\n"


def test_links_are_refused_wherever_they_are(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints" / "5").mkdir(parents=True)
    (folder / "checkpoints" / "5" / "x").touch()
    files.refuse_links(folder, tmp_path / "none")
    for path in (folder / "checkpoints" / "5" / "y", folder / "checkpoints" / "6", folder / "z"):
        path.symlink_to(tmp_path / "nowhere")
        with pytest.raises(UserError, match=f"'{path}' is a symbolic link"):
            files.refuse_links(folder)
        path.unlink()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UserError, match="is a symbolic link"):
        files.refuse_links(tmp_path / "link")


def test_a_path_at_which_nothing_is_gets_the_near_name_or_a_remedy(tmp_path):
    (tmp_path / "runs" / "first").mkdir(parents=True)
    assert (
        files.absent(tmp_path / "runs" / "frst", "make one") == f"does not exist; did you mean '{tmp_path}/runs/first'?"
    )
    assert (
        files.absent(tmp_path / "rusn" / "first", "make one")
        == f"does not exist; did you mean '{tmp_path}/runs/first'?"
    )
    assert files.absent(tmp_path / "rusn" / "other", "make one") == f"does not exist; did you mean '{tmp_path}/runs'?"
    assert files.absent(tmp_path / "runs" / "other" / "x", "make one") == "does not exist; make one"
    assert files.absent(Path("nowhere/at/all"), "make one") == "does not exist; make one"
