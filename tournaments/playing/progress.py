"""How far a tournament is: a bar with the time left, and on a terminal the first of the leaderboard while it plays."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from marl.agents.entrants import Identity
from marl.base.display import Display
from marl.base.drives import notes_on
from marl.base.terminal import Terminal
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
from tournaments.reports.live import LiveBoard
from tournaments.schedules.rounds import Round, Schedule


class Progress:
    """Show how many games are played, the first of the leaderboard, and the first game that each agent forfeits."""

    def __init__(
        self,
        schedule: Schedule,
        agents: Sequence[Identity],
        store: Store,
        folder: Path,
        console: Terminal,
        *,
        board: bool,
    ) -> None:
        """Show a `board` of those who lead only where no stored game is played again: it reads each game once."""
        self._schedule, self._agents, self._folder, self._console = schedule, agents, folder, console
        self._store, self._done = store, 0
        self._display: Display | None = None
        self._board = LiveBoard(store) if board and console.is_terminal else None
        self._names = {agent.digest: agent.name for agent in agents}
        self._failed: set[str] = set()
        self._begun = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.__exit__(kind, error, trace)

    def begin(self, round: Round, stored: int) -> None:
        """Say what is played before the first round; show the bar when there is something to play."""
        if not self._begun:
            self._begun = True
            self._introduce(round, stored)
        self._done += stored
        if self._display is not None:
            self._display.advance_to(self._done)
        elif stored < len(round):
            schedule = self._schedule
            self._display = Display(
                str(self._folder), schedule.most, "games", self._console, self._done, at_most=not schedule.exact
            )
            self._display.__enter__()

    def add(self, games: Sequence[PlayedGame]) -> None:
        """Show some games that were played."""
        assert self._display is not None
        self._done += len(games)
        self._display.advance_to(self._done)
        if self._board is not None and self._board.due:
            self._display.below(self._board.lines())
        for game in games:
            for failure in game.failures:
                agent = game.fixture.agents[failure.player]
                if agent not in self._failed:
                    self._failed.add(agent)
                    self._display.line(
                        f"'{self._names[agent]}' {failure.detail}, and forfeits that game; the report counts such games"
                    )

    def _introduce(self, round: Round, stored: int) -> None:
        schedule, most = self._schedule, f"{self._schedule.most:,} games"
        if len(round) == schedule.most:
            note = f"; {stored:,} are stored already" if stored else ""
        else:
            note = f"; the store has {len(self._store):,} games" if len(self._store) else ""
        at_most = "" if schedule.exact else "at most "
        self._console.print(f"{self._folder}: {at_most}{most} among {len(self._agents)} agents{note}")
        for note in notes_on(self._folder):
            self._console.print(f"note: {note}", style="yellow")
