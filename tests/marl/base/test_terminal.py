"""The terminal: whatever is printed, and however, is text and no command."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.progress import BarColumn, Progress
from rich.table import Column, Table
from rich.text import Text

from marl.base.display import Display
from marl.base.terminal import Terminal, Words

ROOT = Path(__file__).parents[3]
NAMES = [
    "a[/red]b",
    "[bold]y[/bold] :smile: 3.14 'x'",
    "[link=http://x]y[/link]",
    "\x1b]0;pwned\x07\x1b[2Jclear",
    "\x9b2J\u202etxt\u200b",
    "two\nlines\r",
]
SPELLED = [
    *NAMES[:3],
    r"\x1b]0;pwned\x07\x1b[2Jclear",
    r"\x9b2J\u202etxt\u200b",
    r"two\nlines\r",
]
EVERY = pytest.mark.parametrize(("name", "spelled"), [*zip(NAMES, SPELLED, strict=True)])


@pytest.fixture
def terminal():
    return Terminal(file=io.StringIO(), width=60)


def printed(terminal):
    return terminal.file.getvalue()


@EVERY
def test_a_line(terminal, name, spelled):
    terminal.print(name)
    terminal.print(f"x {name}", style="yellow", markup=True, emoji=True, highlight=True)  # asked for, and not heard
    assert printed(terminal) == f"{spelled}\nx {spelled}\n"


def test_a_long_line_is_one(terminal):
    terminal.print("word " * 100)
    assert printed(terminal).count("\n") == 1


@EVERY
def test_a_cell(terminal, name, spelled):
    table = Table(Column(name), "number", title=name)
    table.add_row(name, "1")
    table.add_row(Text(name), "2")  # made elsewhere
    terminal.print(table)
    assert printed(terminal).count(spelled) >= 2 and not set(printed(terminal)) & set("\x1b\x07\x9b\u202e\u200b\r")


@EVERY
def test_a_progress_bar(name, spelled):
    terminal = Terminal(file=io.StringIO(), width=60, force_terminal=True, color_system=None, _environ={})
    with Progress(Words("{task.description}"), BarColumn(), console=terminal) as progress:
        progress.add_task(name, total=3)
    with Display(name, 3, "games", terminal) as display:
        display.advance_to(2)
        display.line(name)
    assert spelled in printed(terminal) and f"{spelled}: {spelled}\n" in printed(terminal)
    assert not set(printed(terminal)) & set("\x07\x9b\u202e\u200b")
    assert "\x1b]" not in printed(terminal) and "\x1b[2Jclear" not in printed(terminal)


def test_a_block_keeps_its_lines(terminal):
    terminal.block("a\n [b]\n\n\x1b[2J\x85\u2028")
    assert printed(terminal) == "a\n [b]\n\n\\x1b[2J\\x85\\u2028\n"


def test_a_game_may_colour_its_position(terminal):
    board = "S\x1b[41mF\x1b[0m\x1b[1;32mG\x1b[m\x1b[8mhidden\x1b[2J\x1b]0;x\x07"
    coloured = Terminal(file=io.StringIO(), width=60, force_terminal=True, color_system="standard")
    coloured.block(board)
    spelled = r"hidden\x1b[2J\x1b]0;x\x07"
    assert printed(coloured) == "S\x1b[41mF\x1b[0m\x1b[1;32mG\x1b[0m" + r"\x1b[8m" + f"{spelled}\n"
    terminal.block(board)  # in a pipe
    assert "\x1b" not in printed(terminal) and spelled in printed(terminal)


def test_json_is_ascii_and_reads_back(terminal):
    data = {"name": "".join(NAMES) + "\x7f\ud800é", "number": -1.5}
    terminal.write_json(data)
    assert printed(terminal).replace("\n", "").isprintable() and printed(terminal).isascii()
    assert json.loads(printed(terminal)) == data


def test_letters_that_a_terminal_cannot_show_end_no_command():
    command = [sys.executable, "-m", "marl", "games", "show", "openspiel:tic_tac_to\udce9±"]
    encoded = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    said = subprocess.run(command, env=encoded, capture_output=True)
    assert said.returncode == 2 and said.stderr.isascii() and rb"tic_tac_to\udce9\xb1" in said.stderr
