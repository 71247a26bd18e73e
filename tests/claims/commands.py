"""Whether a claim's commands still exist: each is parsed by the real command line, and nothing runs.

Of `marl`: the command and its options; a config's name, its keys and those of `--set` and `--grid`, the settings of its
algorithm, its game. Of `python -m`: the module and its options; of `pytest`: the modules of tests. Folders of runs,
which other commands of the claim make, are not looked for.
"""

import argparse
import importlib
import json
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from typer.core import TyperCommand
from typer.testing import CliRunner

from games.errors import UserError
from games.registry import make
from marl.base.origin import typed
from marl.base.schema import load
from marl.cli.app import app
from marl.learning.registry import configured
from marl.training.config import PopulationConfig, TrainConfig
from marl.training.sweep import sweep
from tests.claims.table import ROOT, Claim, spread_out
from tournaments.populations.config import load_population
from tournaments.tournament import TournamentConfig

_OUTER = ("echo", "cat", "cp", "mkdir")  # of the system
_MISSING = re.compile(r"pip install|not installed|needs the package")


class _Parsed(Exception):
    """The arguments were parsed."""


def check(claim: Claim) -> None:
    """Raise UserError for the first command that does not exist as it is written."""
    for line in spread_out(claim):
        for words in _commands(line):
            check_words(words, line)


def _commands(line: str) -> Iterator[list[str]]:
    """Return the words of each command of a shell line, without redirections; $(...) and variables are placeholders."""
    line = re.sub(r"\$\((?:[^()]|\([^()]*\))*\)", "PLACEHOLDER", line)
    words: list[str] = []
    lexer = shlex.shlex(re.sub(r"\$\w+", "PLACEHOLDER", line), posix=True, punctuation_chars="><;&|")
    lexer.whitespace_split = True
    skip = False
    for word in lexer:
        if set(word) <= set(";&|"):
            yield words
            words = []
        elif word in (">", ">>"):
            skip = True
        elif not skip:
            words.append(word)
        else:
            skip = False
    yield words


def check_words(words: list[str], line: str) -> None:
    """Raise UserError where a command, given as its words, does not exist."""
    match words:
        case [] | ["for", *_] | ["done"]:
            pass
        case ["do", *rest]:
            check_words(rest, line)
        case ["marl", *rest]:
            _marl(rest, line)
        case ["python", "-m", "pytest", *rest]:
            for word in rest:
                if word.startswith("tests."):
                    _require(word, line)
        case ["python", "-m", module, *rest]:
            _module(module, rest, line)
        case [outer, *_] if outer in _OUTER:
            pass
        case _:
            raise UserError(f"expected a command of marl, or python -m, got `{line}`; mend the claim")


@contextmanager
def _told(line: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"`{line}`: {error}") from error


def _marl(words: list[str], line: str) -> None:
    called: list[dict[str, Any]] = []
    with patch.object(
        TyperCommand, "invoke", lambda _, context: called.append(context.params | {"_path": context.command_path})
    ):
        done = CliRunner().invoke(app, words, prog_name="marl")
    if done.exit_code or not called:
        raise UserError(f"`{line}`: {' '.join(done.output.split())[-300:] or 'not a command'}")
    path, given = called[0]["_path"].split()[1:], called[0]
    with _told(line):
        _configs(path, given)
        if isinstance(given.get("game"), str):
            _game(given["game"])


def _configs(path: list[str], given: dict[str, Any]) -> None:
    """Read the config that a command names, with the changes to it."""
    config, sets = given.get("config"), list(given.get("sets") or [])
    if config is None or "configs" in path:
        return
    if path == ["train"]:
        _run(load(TrainConfig, config, typed(sets)))
    elif path == ["sweep"]:
        grid = list(given["grid"] or [])
        for member in sweep(config, seeds=1, sets=sets, grid=grid, workers=1).members.values():
            changes = [f"{key}={_yaml(value)}" for key, value in member.set.items()]
            _run(load(TrainConfig, Path(member.train), typed(changes)))
    elif path[0] == "population":
        population = load_population(config, typed(sets))
        if not isinstance(population, PopulationConfig):
            _game(getattr(population, "game", ""))
    elif path == ["tournament", "run"]:
        _game(load(TournamentConfig, config, typed(sets)).game)


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _run(config: TrainConfig) -> None:
    configured(config.algorithm, "algorithm", typed=True, origin=config.origin)
    _game(config.game)


@cache
def _game(reference: str) -> None:
    """Make a game, where its package is installed."""
    if not reference:
        return
    try:
        make(reference, 1)
    except UserError as error:
        if not _MISSING.search(str(error)):
            raise


def _require(module: str, line: str) -> None:
    """Raise UserError where a module is not in this project."""
    path = ROOT / Path(*module.split("."))
    if not path.is_dir() and not path.with_suffix(".py").exists():
        raise UserError(f"`{line}`: there is no module '{module}'; mend the claim")


def _module(module: str, words: list[str], line: str) -> None:
    """Run a module up to the moment at which it has parsed its arguments."""
    _require(module, line)
    parse = argparse.ArgumentParser.parse_args

    def parsed(parser: argparse.ArgumentParser, *arguments: Any) -> None:
        parse(parser, *arguments)
        raise _Parsed

    if not words and "parse_args" not in Path(importlib.import_module(module).__file__ or "").read_text("utf-8"):
        return  # it takes no arguments
    said = StringIO()
    with (
        patch.object(argparse.ArgumentParser, "parse_args", parsed),
        patch.object(sys, "argv", [module, *words]),
        redirect_stderr(said),
        redirect_stdout(said),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # that the module is imported already
        try:
            runpy.run_module(module, run_name="__main__")
        except _Parsed:
            return
        except SystemExit:
            pass
    raise UserError(f"`{line}`: {' '.join(said.getvalue().split())[-300:]}")
