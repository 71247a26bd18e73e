"""A person at the terminal against any agent, in any turn-based game that can print itself."""

import numpy as np

from games import rounding
from games.contract import State
from games.errors import UserError
from games.keys import fold_one, stream
from games.registry import load, make
from games.vector import action_name, position
from marl.agent import Agent
from marl.entrants import enter
from marl.rollout import episodes
from marl.terminal import Terminal
from marl.types import Decision, Hidden, View


class Left(Exception):
    """Say that the person has had enough."""


class Person:
    """Ask at the terminal for every decision."""

    def __init__(self, console: Terminal) -> None:
        self._console = console

    def initial_hidden(self, rows: int) -> Hidden:
        return None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        assert view.states is not None, "play() refuses games without states"
        return Decision(
            np.array([self._ask(state, int(p)) for state, p in zip(view.states(), view.player, strict=True)])
        ), None

    def _ask(self, state: State, player: int) -> int:
        names = action_names(state, player)
        self._console.print(f"\n{position(state)}\n", highlight=False, markup=False)
        while True:
            prompt = f"Your move ({', '.join(names)}; q leaves): "
            self._console.print(prompt, end="", highlight=False, markup=False, soft_wrap=True)
            try:
                said = input().strip()
            except EOFError:
                raise Left from None
            if said.lower() in ("q", "quit"):
                raise Left
            if said in names:
                return names[said]
            self._console.print(f"'{said}' is not one of the moves.", highlight=False, markup=False)


class Announced:
    """Say at the terminal what another agent chose."""

    def __init__(self, agent: Agent, name: str, console: Terminal) -> None:
        self._agent, self._name, self._console = agent, name, console

    def initial_hidden(self, rows: int) -> Hidden:
        return self._agent.initial_hidden(rows)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        decision, hidden = self._agent.act(view, hidden)
        assert view.states is not None, "play() refuses games without states"
        for state, player, action in zip(view.states(), view.player.tolist(), decision.action.tolist(), strict=True):
            said = next(name for name, code in action_names(state, player).items() if code == action)
            self._console.print(f"{self._name} (player {player}) plays {said}", highlight=False, markup=False)
        return decision, hidden


def action_names(state: State, player: int) -> dict[str, int]:
    """Return the legal actions by the words that name them: the game's own, or numbers."""
    return {action_name(state, player, action): action for action in state.legal_actions(player)}


def play(game: str, against: str, seat: int, seed: int, console: Terminal) -> None:
    """Play one game; raises UserError for a game without turns or positions, and for a seat that it does not have."""
    spec = load(game).spec
    if spec.turns != "sequential":
        raise UserError(
            f"play needs a turn-based game, and in '{game}' players move at the same time; choose another game"
        )
    if seat >= spec.num_players:
        raise UserError(f"'{game}' has seats 0 to {spec.num_players - 1}, got --seat {seat}")
    if not spec.perfect_information:
        console.print("note: the position is printed whole, with what is hidden from you", style="yellow")
    entrant = enter(against, spec)
    roster: list[Agent] = [Person(console), Announced(entrant.answerable(spec), entrant.name, console)]
    seating = np.array([[0 if player == seat else 1 for player in range(spec.num_players)]])
    streams = np.array([0, entrant.stream(stream(seed, "play"))], np.uint64)
    try:
        [episode] = episodes(make(game, 1), roster, streams, np.array([fold_one(seed, 0)], np.uint64), seating)
    except Left:
        console.print("\nYou left the game.")
        return
    paid = ", ".join(f"player {p}: {value:+g}" for p, value in enumerate(episode.returns))
    own = int(rounding.sign(episode.returns[seat], episode.rounding))
    verdict = {1: "You won", 0: "A draw", -1: "You lost"}[own] if spec.payoff == "zero_sum" else "The end"
    console.print(f"\n{verdict} after {episode.length} moves ({paid}); game {seed}", highlight=False, markup=False)
