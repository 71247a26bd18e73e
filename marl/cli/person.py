"""A person at the terminal against any agent, in any game whose players choose among moves.

The person is shown what its player may see and nothing else: the position where the game hides nothing, else the
game's own words for this player (`describe`), else the numbers of its view. What another did is said where this player
sees it.
"""

import numpy as np

from games import rounding
from games.contract import Box, Spec, VecEnv
from games.errors import UserError
from games.keys import fold_one, stream
from games.registry import make
from games.witness import tells_moves
from games.words import Moves, sees, word, words_at
from marl.agents.load import load_entrant
from marl.base.terminal import Terminal
from marl.rollout.agent import Agent, Stateless
from marl.rollout.loop import Episode, play_episodes
from marl.rollout.types import Decision, Hidden, View

MOST_LISTED = 500  # letters of the moves that are listed at every decision


class Left(Exception):
    """Say that the person has had enough."""


class Person(Stateless):
    """Ask at the terminal for every decision of one player, in the one environment of `venv`."""

    def __init__(self, venv: VecEnv, player: int, console: Terminal) -> None:
        self._venv, self.player, self._console = venv, player, console

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        legal = np.flatnonzero(view.action_mask[0]).tolist()
        words = words_at(self._venv, 0, self.player, view.obs[0], legal)
        self.show(words.position)
        return Decision(np.array([self._ask(words.moves)])), None

    def sees(self) -> str:
        """Return what this player may see now, in words; empty where the game has none for it."""
        return sees(self._venv, 0, self.player)

    def show(self, text: str) -> None:
        """Print what the person sees, apart from what is printed before and after it."""
        self._console.block(f"\n{text}\n" if text else "")

    def _ask(self, moves: Moves) -> int:
        self._console.print(f"Your moves: {moves.listed(MOST_LISTED)}")
        while True:
            try:
                said = self._console.ask("Your move: ").strip()
            except EOFError:
                raise Left from None
            if (action := moves.find(said)) is not None:
                return action
            if said.casefold() in ("quit", "q"):
                raise Left
            if said.casefold() in ("help", "?"):
                how = "by its name or its number" if moves.numbered else "by its number"
                self._console.print(f"Type a move, {how}; help shows them all, quit leaves the game.")
                self._console.print(f"Your moves: {moves.listed()}")
            else:
                self._console.print(f"'{said}' is not one of the moves; help says what you can type")


class Announced:
    """Say at the terminal what another agent does, where the person sees it."""

    def __init__(
        self, agent: Agent, name: str, person: Person, venv: VecEnv, console: Terminal, waiting: str = ""
    ) -> None:
        """`waiting` is printed before each decision of an agent that is slow."""
        self._agent, self._name, self._person, self._venv, self._console = agent, name, person, venv, console
        self._waiting = waiting

    def initial_hidden(self, rows: int) -> Hidden:
        return self._agent.initial_hidden(rows)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        if self._waiting:
            self._console.print(self._waiting, style="dim")
        decision, hidden = self._agent.act(view, hidden)
        for row, (player, action) in enumerate(zip(view.player.tolist(), decision.action.tolist(), strict=True)):
            if self._venv.spec.perfect_information or self._seen(view.take(row), player):
                self._console.print(f"{self._name} (player {player}) plays {word(self._venv, 0, player, action)}")
        return decision, hidden

    def _seen(self, view: View, player: int) -> bool:
        """Return whether the person can tell which move was made.

        Where positions cannot be cloned, or do not tell what a player may see, the person's next view has to do.
        """
        states = view.states() if view.states else []
        return any(tells_moves(self._venv.spec, state, player, self._person.player) for state in states)


def play(game: str, against: str, seat: int, seed: int, console: Terminal) -> None:
    """Play one game; raises UserError for a game whose players do not choose among moves, and for a seat it lacks."""
    venv = make(game, 1)
    spec = venv.spec
    if isinstance(spec.action, Box):
        raise UserError(f"play needs moves to choose among, and in '{game}' actions are numbers; choose another game")
    if seat >= spec.num_players:
        raise UserError(f"'{game}' has seats 0 to {spec.num_players - 1}, got --seat {seat}")
    entrant = load_entrant(against, spec)
    if spec.num_players > 1:
        entrant.refuse_beside_others()
    person = Person(venv, seat, console)
    waiting = getattr(entrant.agent, "waiting", "")
    other = Announced(entrant.answerable(spec), entrant.name, person, venv, console, waiting)
    roster: list[Agent] = [person, other]
    seating = np.array([[0 if player == seat else 1 for player in range(spec.num_players)]])
    streams = np.array([0, entrant.stream(stream(seed, "play"))], np.uint64)
    console.print(f"{game} against {entrant.name}: you are player {seat}; help says what you can type")
    if not spec.perfect_information:
        console.print(f"note: something is hidden here, and you are shown what player {seat} may see", style="yellow")
    try:
        for episode in play_episodes(venv, roster, streams, np.array([fold_one(seed, 0)], np.uint64), seating):
            person.show(person.sees())  # the position in which it ended, before another episode opens
            console.print(f"{_verdict(spec, seat, episode)}; --seed {seed} is the same game again")
    except Left:
        console.print()
        console.print("You left the game.")


def _verdict(spec: Spec, seat: int, episode: Episode) -> str:
    paid = ", ".join(f"player {p}: {value:+g}" for p, value in enumerate(episode.returns))
    own, others = episode.returns[seat], np.delete(episode.returns, seat)
    how = "The end"
    if spec.payoff == "zero_sum" and len(others):
        how = {1: "You won", 0: "A draw", -1: "You lost"}[int(rounding.sign(own - others.max(), episode.rounding))]
    return f"{how} after {episode.length} moves ({paid})"
