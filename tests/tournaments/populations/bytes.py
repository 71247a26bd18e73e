"""What must be equal to the byte of two populations, and kills at whatever one writes."""

import json
import sqlite3
from contextlib import closing

from marl.agents.populations import FILE
from tests.tournaments.populations.kills import killed_everywhere
from tournaments.populations.files import read_members


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


def killed_at_any_file(monkeypatch, folder, go_on, loop, late):
    """End a run before, or with `late` after, whatever it writes is written, once each; return the number of kills.

    `go_on` runs in the folder, with resume; `loop` is the module of its method. No kill loses a member.
    """
    most_members = 0

    def check():
        nonlocal most_members
        members = len(read_members(folder))
        assert members >= most_members
        most_members = members

    return killed_everywhere(monkeypatch, lambda: go_on(folder), (loop, "write_population"), late=late, check=check)
