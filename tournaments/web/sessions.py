"""People at the table: a person in one seat, agents in the others.

A session is a game, a seed, who holds the seats, and the moves so far; the position follows from these (table.py). An
agent's decision follows from them, too (deciding.py), by the keys of a tournament: a person who makes the moves that an
agent would make plays the very game of a tournament in which that agent is seated.

What the person does not see is not told: not the seed, not the cards of others, and not a move of another that this
player cannot tell. Who takes moves back, asks for a hint, changes seats or changes the others is helped; the game is
then stored without a result.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from games import rounding
from games.contract import Spec
from games.drawing.drawing import Area
from games.errors import UserError
from marl.agents.entrants import Identity
from marl.agents.references import PERSON
from tournaments.records.played import Note, PlayedGame
from tournaments.web.deciding import Answer, Question
from tournaments.web.persons import ASSISTED, is_person
from tournaments.web.table import Done, Line, Table, joint_of

MOST_SESSIONS = 300  # the oldest that nobody plays is forgotten
MOST_OF_ONE = 60  # of one address: nobody alone can take the places of all
IDLE = 600.0  # seconds after which a session may be forgotten
MOST_MOVES = 2_000


@dataclass
class Session:
    """One person's game."""

    id: str
    line: Line
    seats: tuple[Identity, ...]
    chosen: dict[int, int] = field(default_factory=dict)  # actions of the step that is being made, by player
    done: list[list[Done]] = field(default_factory=list)  # what was done at each step
    notes: list[Note] = field(default_factory=list)
    fault: str = ""  # why an agent has not decided, in one sentence
    stored: PlayedGame | None = None
    home: Path = Path()  # of the store that has the game
    address: str = ""  # from which it was opened
    used: float = field(default_factory=time.monotonic)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def you(self) -> int:
        """The person's seat."""
        return next(player for player, agent in enumerate(self.seats) if is_person(agent))

    def waiting(self, table: Table) -> list[int]:
        """Return the players who must choose now and have not."""
        return [player for player in table.acting if player not in self.chosen]

    def questions(self, table: Table) -> list[Question]:
        """Return what the agents are to be asked now: nothing before the person has chosen, if it must."""
        waiting = self.waiting(table)
        if self.you in waiting:
            return []
        return [Question(self.line, player, self.seats[player]) for player in waiting]

    def choose(self, table: Table, ply: int, action: int) -> None:
        """Make the person's move at a step; raises UserError for one that it cannot make now."""
        if ply != len(self.line.moves):
            raise UserError("the game has gone on since this move was chosen; look at the board, and choose again")
        if self.you not in self.waiting(table):
            raise UserError("it is not your move; wait for the others")
        if action not in table.legal(self.you):
            raise UserError("this is not a move here; choose one of those that are shown")
        self.chosen[self.you] = action
        self.advance(table)

    def hear(self, table: Table, questions: Sequence[Question], answers: Sequence[Answer]) -> None:
        """Take the agents' decisions; a failure is told, and the agent can be asked again."""
        self.fault = next((answer.fault for answer in answers if answer.fault), "")
        for question, answer in zip(questions, answers, strict=True):
            if answer.action is not None and question.line == self.line:
                self.chosen[question.player] = answer.action
        self.advance(table)

    def advance(self, table: Table) -> None:
        """Make the step if all have chosen."""
        if table.over or self.waiting(table):
            return
        if len(self.line.moves) >= MOST_MOVES:
            raise UserError(f"this game has {MOST_MOVES:,} steps, which are the most here; start another")
        self.done.append(table.step(joint_of(self.chosen, table.spec.num_players)))
        self.line, self.chosen = table.line, {}

    def help(self, how: str) -> None:
        """Note that the person was helped before the step that comes now."""
        ply = len(self.line.moves)
        before = next((note for note in self.notes if note.ply == ply), None)
        kinds = [*(before.value if before else []), how]
        self.notes = [note for note in self.notes if note is not before]
        self.notes.append(Note(ply, ASSISTED, list(dict.fromkeys(kinds))))

    def back(self) -> None:
        """Take the person's last move back, with what came after it; raises UserError where there is none."""
        if self.stored:
            raise UserError("this game is over and stored; start another")
        own = len(self.line.moves) if self.you in self.chosen else self.last_decision
        if own is None:
            raise UserError("you have made no move yet; there is nothing to take back")
        self.line, self.chosen, self.fault = self.line.cut(own), {}, ""
        del self.done[own:]
        self.help("take back")

    @property
    def last_decision(self) -> int | None:
        """The step of the person's last move; None before its first."""
        steps = (step for step, done in enumerate(self.done) if any(each.player == self.you for each in done))
        return max(steps, default=None)

    def swap(self, spec: Spec, seat: int) -> None:
        """Give the person another seat, and the agent there the person's.

        Where anything is hidden the game gets a fresh seed: the person has seen what its player saw. Raises UserError
        where such a game has begun.
        """
        if self.stored:
            raise UserError("this game is over and stored; start another")
        if not 0 <= seat < len(self.seats) or seat == self.you:
            raise UserError("choose the seat of another player")
        if self.line.moves and not spec.perfect_information:
            raise UserError("the others know what you do not; change seats in a new game, before its first move")
        if self.line.moves:
            self.help("swap")
        if not spec.perfect_information:
            self.line = fresh(self.line.game)
        seats = list(self.seats)
        seats[seat], seats[self.you] = seats[self.you], seats[seat]
        self.seats, self.chosen = tuple(seats), {}

    def reseat(self, agents: Mapping[str, Identity]) -> None:
        """Let agents be followed by others in their seats: those that think longer, by the digests before."""
        if self.stored:
            raise UserError("this game is over and stored; start another")
        if self.line.moves:
            self.help("think longer")
        self.seats = tuple(agents.get(agent.digest, agent) for agent in self.seats)


class Sessions:
    """All sessions of a page. They live as long as its process."""

    def __init__(self, most: int = MOST_SESSIONS, most_of_one: int = MOST_OF_ONE) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._most, self._most_of_one = most, most_of_one

    def start(self, game: str, seats: Sequence[Identity], address: str) -> Session:
        """Open a session with a fresh seed; raises UserError where too many people play, or one address too many games.

        Those behind one gateway share an address.
        """
        own = [session for session in self._sessions.values() if session.address == address]
        self._make_room(own, self._most_of_one, "you have too many games open here; go on with one of them, or try")
        everybody = list(self._sessions.values())
        self._make_room(everybody, self._most, "too many games are being played here right now; try")
        session = Session(secrets.token_urlsafe(12), fresh(game), tuple(seats), address=address)
        self._sessions[session.id] = session
        return session

    def _make_room(self, sessions: Sequence[Session], most: int, what: str) -> None:
        """Forget the oldest of some sessions that are over or idle, so that one more fits; or raise UserError."""
        now, many = time.monotonic(), max(0, len(sessions) - most + 1)
        left = [session for session in sessions if session.stored or now - session.used >= IDLE]
        if len(left) < many:
            raise UserError(f"{what} again in a few minutes")
        for session in left[:many]:
            del self._sessions[session.id]

    def find(self, id: str) -> Session | None:
        """Return a session, which is now the one that was used last; None where there is none."""
        session = self._sessions.get(id)
        if session is not None:
            session.used = time.monotonic()
            self._sessions.move_to_end(id)
        return session


def fresh(game: str) -> Line:
    """Return a game before its first move, with a seed that nobody can guess."""
    return Line(game, secrets.randbits(64))


def shown(session: Session, table: Table) -> dict[str, Any]:
    """Return what the person is shown of its game, as JSON data: what its player sees, and nothing else."""
    you, spec = session.you, table.spec
    drawing = table.drawing(you)
    waiting = session.waiting(table)
    legal = table.legal(you) if you in waiting else []
    return {
        "ply": len(session.line.moves),
        "you": you,
        "seats": [name_of(agent) for agent in session.seats],
        "svg": Markup(drawing.svg),
        "targets": _areas(drawing.targets, legal),
        "origins": _areas(drawing.origins, legal),
        "legal": [{"action": action, "name": table.name(you, action)} for action in legal],
        "waiting": [name_of(session.seats[player]) for player in waiting if player != you],
        "moves": [[_told(done, you) for done in step] for step in session.done],
        "over": table.over,
        "fault": session.fault,
        "helped": sorted({how for note in session.notes for how in note.value}),
        "status": _status(session, table, waiting),
        "can": {
            "back": session.stored is None and session.last_decision is not None,
            "hint": you in waiting,
            "swap": session.stored is None and (spec.perfect_information or not session.done),
        },
    }


def _areas(areas: Mapping[int, Area], legal: Sequence[int]) -> dict[str, list[float]]:
    """Return where a click means an action, of those that are legal."""
    found = {action: area for action, area in areas.items() if action in legal}
    return {str(action): [area.x, area.y, area.width, area.height] for action, area in found.items()}


def name_of(agent: Identity) -> str:
    """Return what a player is called."""
    return agent.name.removeprefix(PERSON)


def _told(done: Done, you: int) -> dict[str, Any]:
    """Return what a person is told of a move: its name only where the person can tell it."""
    return {"player": done.player, "name": done.name if you in done.seen else None}


def _status(session: Session, table: Table, waiting: Sequence[int]) -> str:
    """Return in one sentence where the game is."""
    you = session.you
    if table.over:
        return verdict(table.spec, you, session.stored)
    last = [done for done in (session.done[-1] if session.done else []) if done.player != you and you in done.seen]
    said = ", ".join(f"{name_of(session.seats[done.player])} played {done.name}" for done in last)
    now = "your move" if you in waiting else f"{' and '.join(name_of(session.seats[p]) for p in waiting)} to move"
    return f"{said}; {now}" if said else now[0].upper() + now[1:]


def verdict(spec: Spec, you: int, game: PlayedGame | None) -> str:
    """Return in one sentence how a game ended for a player."""
    if game is None:
        return "The game is over"
    paid = game.payoffs
    others = [value for player, value in enumerate(paid) if player != you]
    said = f"{paid[you]:+g} for you"
    if others:
        said += f", {', '.join(f'{value:+g}' for value in others)} for the other{'s' * (len(others) > 1)}"
    how = "The game is over"
    if spec.payoff == "zero_sum" and others:
        sign = int(rounding.sign(paid[you] - max(others), game.rounding or 0.0))
        how = {1: "You won", 0: "A draw", -1: "You lost"}[sign]
    return f"{how} after {game.length} steps: {said}"
