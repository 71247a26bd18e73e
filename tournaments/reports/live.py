"""The first of the leaderboard while a tournament plays. It is for the eye: nothing is decided by it."""

import time

import numpy as np

from tournaments.ratings.elo import rate, refusal
from tournaments.ratings.payoffs import mean_payoffs
from tournaments.ratings.table import Reader
from tournaments.records.facts import Facts
from tournaments.records.store import Store

SHOWN = 5  # agents
SHARE = 0.02  # of the processor's time, at most
PAUSE = 2.0  # seconds between two looks, at least


class LiveBoard:
    """The agents that lead, by the games that the store has now. New games alone are read."""

    def __init__(self, store: Store) -> None:
        self._store, self._reader, self._facts = store, Reader(store), Facts.of(store)
        self._due = time.monotonic()

    @property
    def due(self) -> bool:
        """Say whether it may be computed again: the time since then is at least 1 / SHARE of what it took."""
        return time.monotonic() >= self._due

    def lines(self) -> list[str]:
        """Return the first SHOWN agents, a line each."""
        begun = time.process_time()
        lines = self._lines()
        self._due = time.monotonic() + max(PAUSE, (time.process_time() - begun) / SHARE)
        return lines

    def _lines(self) -> list[str]:
        results, names = self._reader.results(), self._store.labels()
        if not len(results):
            return []
        if refusal(self._facts.sides, self._facts.payoff):
            means = [line for line in mean_payoffs(results) if line.seat is None and line.mean is not None]
            cells = [(line.agent, f"{line.mean:.3f}", line.ci95, line.games) for line in means]
        else:
            cells = [(r.agent, f"{r.elo:z.0f} Elo", r.ci95, r.games) for r in rate(results).ratings]
        return [
            f"{rank}. {names[agent]}  {shown}{_half(ci95)}, {games:,} games"
            for rank, (agent, shown, ci95, games) in enumerate(cells[:SHOWN], start=1)
        ]


def _half(ci95: float | None) -> str:
    return f" ± {ci95:.3g}" if ci95 is not None and np.isfinite(ci95) else ""
