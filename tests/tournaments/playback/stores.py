"""Stores for tests of recorded games: small tournaments that are played, and copies that are changed."""

import sqlite3

import pytest

from marl.base.terminal import Terminal
from marl.cli.app import main
from tournaments.tournament import TournamentConfig, run

TIC_TAC_TOE = "openspiel:tic_tac_toe"
SECOND = "tests.bots:Second"


def played(folder, game=TIC_TAC_TOE, agents=("random", "uct(simulations=1)"), seeds=4, **settings):
    """Play a small tournament and return its store's path."""
    config = TournamentConfig(game=game, agents=agents, seeds=seeds, workers=1, **settings)
    return run(config, folder, Terminal(quiet=True))


def change(path, statement, *values):
    """Change a store as a stranger could."""
    db = sqlite3.connect(path)
    with db:
        assert db.execute(statement, values).rowcount
    db.close()


def marl(*arguments):
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return done.value.code
