"""Runs that are ended wherever they write something, and go on."""

from marl.agents import checkpoint
from marl.base.units import Journal
from tournaments.populations import population
from tournaments.populations.files import Round
from tournaments.records.store import Store


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def killed_everywhere(monkeypatch, run, *writers, late, every=1, check=lambda: None):
    """Run, and go on, until it ends; each try ends before (or after, if `late`) one write more; return the tries.

    `writers` are more functions that write, by their module and name. `every`: how many writes more each try has.
    `check` is called after each kill.
    """
    left, kills = 0, 0

    def mortal(write):
        def until(*arguments, **named):
            nonlocal left
            left -= 1
            if left < 0 and not late:
                raise Killed
            written = write(*arguments, **named)
            if left < 0:
                raise Killed
            return written

        return until

    always = (Round, "write"), (Journal, "add"), (Store, "add"), (checkpoint, "write"), (population, "write_text")
    for owner, name in (*always, *writers):
        monkeypatch.setattr(owner, name, mortal(getattr(owner, name)))
    while True:
        left = every * (1 + kills)
        try:
            run()
            return kills
        except Killed:
            kills += 1
        check()
