"""The process: its port, its end, and what a user may get wrong."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.marl.training.logs import write_run
from tournaments.web.places import Places


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["runz"],
            "expected a folder with runs or tournaments, got 'runz', which does not exist; did you mean 'runs'?",
        ),
        (["file"], "got 'file', which is a file"),
        (["runs", "--port", "{taken}"], "port {taken} of 127.0.0.1 is in use; name another by --port, or --port 0"),
        (["runs", "--host", "no.such.host.invalid"], "'no.such.host.invalid' port 8765 cannot be opened"),
        (["runs", "--token", "short"], "expected a token of at least 16 characters, got 5"),
    ],
)
def test_bad_input_is_one_sentence(arguments, said, tmp_path, monkeypatch, marl):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = marl("web", "--no-open", *(argument.format(taken=port) for argument in arguments))
    assert code == 2 and not out and said.format(taken=port) in err


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_without_the_extra(library, tmp_path):
    code = (
        f"import sys; sys.modules[{library!r}] = None; from marl.cli.app import main; main(['web', '.', '--no-open'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "marl: `marl web` needs the extra 'web': type pip install 'marl[web]'\n"


def test_ctrl_c_ends_it_although_a_browser_listens(tmp_path):
    write_run(tmp_path / "runs" / "one")
    command = [sys.executable, "-m", "marl", "web", str(tmp_path / "runs"), "--no-open", "--port", "0"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline()
        port = int(line.partition("http://127.0.0.1:")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as stream:
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert stream.recv(100).startswith(b"HTTP/1.1 200")
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130) and "Traceback" not in err and time.monotonic() - began < 50


class TestPlaces:
    def test_names_are_relative_to_the_folder(self, tmp_path):
        write_run(tmp_path / "runs" / "a" / "b")
        places = Places(tmp_path / "runs")
        assert [place.name for place in places.all()] == ["a/b"] and places.find("a/b", "run").path.name == "b"

    def test_of_a_folder_that_is_itself_a_run(self, tmp_path):
        write_run(tmp_path / "runs" / "one")
        write_run(tmp_path / "runs" / "other")
        places = Places(tmp_path / "runs" / "one")
        assert [place.name for place in places.all()] == ["one"]
        with pytest.raises(Exception, match="there is no run 'other'"):
            places.find("other", "run")

    def test_what_is_in_checkpoints_is_no_run(self, tmp_path):
        run = write_run(tmp_path / "runs" / "one")
        write_run(run / "checkpoints" / "0001")
        write_run(tmp_path / "runs" / ".hidden")
        assert [place.name for place in Places(tmp_path / "runs").all()] == ["one"]

    def test_a_folder_that_cannot_be_named_as_text(self, tmp_path):
        run = write_run(tmp_path / "runs" / "one")
        os.rename(run, os.fsencode(run.parent) + b"/\xff")
        assert Places(tmp_path / "runs").all() == []
