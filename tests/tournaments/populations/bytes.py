"""What must be equal to the byte of two populations, and kills at whatever one writes."""

import json
import sqlite3
from contextlib import closing

from marl.agents import checkpoint
from marl.agents.populations import FILE
from marl.base.units import Journal
from tournaments.populations.files import Round, read_members
from tournaments.store import Store


def contents(folder):
    """Return everything that must be equal to the byte, and the journal as a set without times."""
    names = [
        FILE,
        *(str(path.relative_to(folder)) for part in ("rounds", "members") for path in (folder / part).rglob("*")),
    ]
    kept = [
        name
        for name in sorted(names)
        if not name.endswith(("metrics.jsonl", "lock.json")) and (folder / name).is_file()
    ]
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    journal = {json.dumps([line["id"], line["output"]], sort_keys=True) for line in lines}
    assert len(journal) == len(lines)
    return {name: (folder / name).read_bytes() for name in kept}, journal


def games(folder):
    """Return the rows of all games, by id."""
    with closing(sqlite3.connect(folder / "games.sqlite")) as store:
        return store.execute("SELECT id, seed, payoffs, termination, length, moves FROM games ORDER BY id").fetchall()


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def killed_at_any_file(monkeypatch, folder, go_on, loop, late):
    """End a run before, or with `late` after, whatever it writes is written, once each; return the number of kills.

    `go_on` runs in the folder, with resume; `loop` is the module of its method.
    """
    budget, kills, most_members = 0, 0, 0

    def mortal(write):
        def until(*arguments, **named):
            nonlocal budget
            budget -= 1
            if budget < 0 and not late:
                raise Killed
            written = write(*arguments, **named)
            if budget < 0:
                raise Killed
            return written

        return until

    for owner, name in (
        (Round, "write"),
        (loop, "write_population"),
        (Journal, "add"),
        (Store, "add"),
        (checkpoint, "write"),
    ):
        monkeypatch.setattr(owner, name, mortal(getattr(owner, name)))
    while True:
        budget = 1 + kills
        try:
            go_on(folder)
            return kills
        except Killed:
            kills += 1
        members = len(read_members(folder))
        assert members >= most_members
        most_members = members
