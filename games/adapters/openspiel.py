"""OpenSpiel's games on the contract: turns, simultaneous moves, chance, hidden information, 1 to N players.

    openspiel:leduc_poker                               observed by OpenSpiel's observation tensor
    openspiel:leduc_poker(observe=information_state)    by its information-state tensor: all that a player has seen

An observation is what a player sees now. In many games it leaves out what happened before (Leduc poker: 516 views of
936 information states), and a policy without memory cannot tell apart what it merges.

Observations are written by OpenSpiel's observer into its buffer and copied from there: `observation_tensor()` builds a
list and costs 5 to 87 times as much.
"""

import os
import tempfile
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any

import pyspiel
from open_spiel.python.observation import make_observation

from games.arrays import Views
from games.contract import Array, Discrete, Payoff, Spec, Symmetry, Turns
from games.drawing.openspiel import DRAWERS
from games.drawing.svg import Drawing
from games.errors import UserError, nearest
from games.keys import fold_one, uniform_one
from games.references import Reference, parse
from games.vector import GameEnv, Row, Vector, vectorize

_TURNS: dict[Any, Turns] = {
    pyspiel.GameType.Dynamics.SEQUENTIAL: "sequential",
    pyspiel.GameType.Dynamics.SIMULTANEOUS: "simultaneous",
}
_PAYOFFS: dict[Any, Payoff] = {
    pyspiel.GameType.Utility.ZERO_SUM: "zero_sum",
    pyspiel.GameType.Utility.CONSTANT_SUM: "zero_sum",
    pyspiel.GameType.Utility.IDENTICAL: "team",
    pyspiel.GameType.Utility.GENERAL_SUM: "general_sum",
}
# Games whose text gives the whole position: no rule depends on the history (repetition, superko), no die is left out.
_PRINTED_WHOLE = (
    *("breakthrough", "catch", "clobber", "cliff_walking", "connect_four", "dots_and_boxes", "gomoku", "havannah"),
    *("hex", "mancala", "mnk", "nim", "othello", "pentago", "tic_tac_toe", "twixt", "ultimate_tic_tac_toe", "y"),
)
# Games that resample positions from which play cannot go on: hearts, while cards are passed.
_RESAMPLED_WRONGLY = ("hearts",)
# The symmetries of games (`Spec.symmetry`); a test plays reflected and rotated games.
_SYMMETRY: dict[str, Symmetry] = {
    "connect_four": "mirror",
    "go": "square",
    "mnk": "square",
    "othello": "square",
    "tic_tac_toe": "square",
}
# Games of four players in which those who face each other are a team; a test compares what they are paid.
_PARTNERS = ("bridge", "euchre", "spades", "tiny_bridge_4p")
# Games of two players who see, may do and are paid the same if they exchange their actions, unless they hide something;
# a test plays them so.
_INTERCHANGEABLE = (
    *("blotto", "goofspiel", "matrix_brps", "matrix_cd", "matrix_coordination", "matrix_pd", "matrix_rps"),
    *("matrix_rpsw", "matrix_sh"),
)
# Integer parameters with a default above 0 that may be 0 or less: seeds, points, sights, and optional parts of rules.
# All others count something that the game needs; with 0 OpenSpiel may crash (a segmentation fault), as with
# `num_tricks` in spades, whose observer then writes past its buffer.
_MAY_BE_ZERO = (
    *("seed", "gin_bonus", "knock_card", "points_per_trick", "undercut_bonus", "win_or_loss_bonus", "win_threshold"),
    *("num_tricks_in_observation", "obs_back", "obs_front", "obs_side", "recall_length", "sense_size"),
    *("blob_chance", "insanity", "magic_wall_steps", "max_bribe", "num_extra_coin_colors", "num_redeals"),
)
# Counts whose default, 0 or -1, stands for the game's usual number.
_COUNTS = {"go_fish": ("initial_cards",), "hanabi": ("colors", "hand_size", "players", "ranks")}
# Games that have no time limit if their horizon is -1; all others are then over before anyone moves.
_ENDLESS = ("capture_the_flag", "laser_tag")
OBSERVE, INFORMATION_STATE = "observe", "information_state"  # our own argument, beside a game's parameters
# References to games that need parameters.
EXAMPLES = (
    "cached_tree(game=kuhn_poker())",
    "coop_to_1p(game=tiny_hanabi())",
    "misere(game=tic_tac_toe())",
    "normal_form_extensive_game(game=kuhn_poker())",
    "repeated_game(stage_game=matrix_rps(), num_repetitions=10)",
    "restricted_nash_response(game=leduc_poker(), p=0.5)",
    "start_at(game=tic_tac_toe(), history='0;4')",
    "turn_based_simultaneous_game(game=goofspiel(num_cards=4))",
    "zerosum(game=tic_tac_toe())",
)


class OpenSpielState:
    """A thin wrapper of a `pyspiel.State`, which is its `native`."""

    __slots__ = ("_game", "native", "player")

    def __init__(self, game: "OpenSpielGame", native: Any) -> None:
        self._game = game
        self.native = native
        self.player: int = native.current_player()  # negative: chance, simultaneous or the end

    def clone(self) -> "OpenSpielState":
        twin = object.__new__(type(self))  # without asking `native` again who moves: searches clone at each simulation
        twin._game, twin.native, twin.player = self._game, self.native.clone(), self.player
        return twin

    def acting(self) -> tuple[int, ...]:
        player = self.player
        if player >= 0:
            return self._game.one[player]
        if player != pyspiel.PlayerId.SIMULTANEOUS:
            return ()
        # In a simultaneous node a player without a legal action has nothing to choose.
        return tuple(p for p in self._game.everyone if self.native.legal_actions(p))

    def legal_actions(self, player: int) -> Sequence[int]:
        legal: list[int] = self.native.legal_actions(player)
        return legal

    def chance_outcomes(self) -> Sequence[tuple[int, float]]:
        return self.native.chance_outcomes() if self.player == pyspiel.PlayerId.CHANCE else ()

    def apply(self, actions: Sequence[int]) -> None:
        native, player = self.native, self.player
        if player >= 0:
            native.apply_action(actions[player])
        else:
            # OpenSpiel requires action 0 of a player without legal actions.
            native.apply_actions([actions[p] if native.legal_actions(p) else 0 for p in self._game.everyone])
        self.player = native.current_player()

    def apply_chance(self, outcome: int) -> None:
        self.native.apply_action(outcome)
        self.player = self.native.current_player()

    def is_terminal(self) -> bool:
        over: bool = self.player == pyspiel.PlayerId.TERMINAL
        return over

    def returns(self) -> Sequence[float]:
        returns: list[float] = self.native.returns()
        return returns

    def observe(self, player: int, out: Views) -> None:
        game = self._game
        game.observe(self.native, player)
        out[:] = game.tensor

    def key(self) -> Hashable:
        """Return the position's text, the mover, and the move number, or the history if the text leaves something out.

        The history alone is not enough: a resampled position may keep the true one's history.
        """
        native = self.native
        return str(native), self.player, native.move_number() if self._game.printed_whole else native.history_str()

    def information(self, player: int) -> Hashable:
        """Return what this player knows: its text as in `describe`, its observation tensor, and its legal actions.

        The last two are needed: the texts of phantom_go, rbc and gin_rummy leave some of them out.
        """
        if not self._game.hidden:
            return self.key()
        self._game.observe(self.native, player)
        return self.describe(player), self._game.tensor.tobytes(), tuple(self.native.legal_actions(player))

    def describe(self, player: int) -> str:
        """Return the text of the player's information state if the game has one, else of its present observation."""
        if not self._game.hidden:
            return str(self)
        native = self.native
        text = native.information_state_string if self._game.recalls else native.observation_string
        return str(text(player))

    def action_name(self, player: int, action: int) -> str:
        """Return the game's text for this action; people type the same text."""
        name: str = self.native.action_to_string(player, action)
        return name

    def draw(self, player: int | None) -> Drawing | None:
        """Return the position as a drawing, where the game has a drawer (games/drawing/openspiel.py)."""
        drawer = self._game.drawer
        return drawer(self.native, player) if drawer else None

    def __str__(self) -> str:
        return str(self.native)


class ResampledState(OpenSpielState):
    """A position of a game that can resample it for a player."""

    __slots__ = ()

    def resample(self, player: int, key: int) -> "ResampledState":
        """Return a position that has the same `information(player)`, drawn by `key`; only where the player acts."""
        return type(self)(self._game, self.native.resample_from_infostate(player, _uniforms(key)))


class OpenSpielGame:
    """A game of OpenSpiel's by its short name and parameters.

    `observe="information_state"` lets players see their information-state tensor in place of their observation.
    Raises UserError for an unknown game, a wrong parameter, and a game that agents cannot play:
    mean-field games, games without explicit chance, and games that give no such tensor.
    """

    def __init__(self, name: str, *, observe: Any = None, **parameters: Any) -> None:
        self.native = _load(name, parameters)
        kind = self.native.get_type()
        _refuse(name, self.native, kind)
        _refuse_views(name, kind, observe)
        observation = _observation(name, self.native, observe)
        other_views = observe is not None and kind.provides_observation_tensor  # else the game has only these
        self._observation = observation  # owns the memory behind `tensor`
        self.observe = observation._observation.set_from
        self.tensor = observation.tensor
        num_players = self.native.num_players()
        self.everyone = range(num_players)
        self.one = [(p,) for p in self.everyone]
        # In a one-shot game only the other players' simultaneous choices are hidden.
        self.hidden = kind.information == pyspiel.GameType.Information.IMPERFECT_INFORMATION
        self.printed_whole = kind.short_name in _PRINTED_WHOLE
        self.recalls = kind.provides_information_state_string
        self.drawer = DRAWERS.get(kind.short_name)
        perfect = kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION
        resamples = perfect or (kind.short_name not in _RESAMPLED_WRONGLY and _resamples(self.native))
        self._state = ResampledState if resamples else OpenSpielState
        self.spec = Spec(
            name=_reference(name, parameters | ({} if observe is None else {OBSERVE: observe})),
            num_players=num_players,
            observation=Array(_shape(observation), kind=INFORMATION_STATE if other_views else ""),
            action=Discrete(self.native.num_distinct_actions()),
            payoff=_PAYOFFS[kind.utility],
            turns=_TURNS[kind.dynamics],
            perfect_information=not self.hidden,
            chance=kind.chance_mode != pyspiel.GameType.ChanceMode.DETERMINISTIC,
            searchable=True,
            step_rewards=kind.reward_model == pyspiel.GameType.RewardModel.REWARDS,
            max_length=None if "horizon=-1" in str(self.native) else self.native.max_game_length(),
            return_bounds=(self.native.min_utility(), self.native.max_utility()),
            resamples=not self.hidden or self._state is ResampledState,
            symmetry=_symmetry(kind.short_name, _shape(observation)),
            teams=((0, 2), (1, 3)) if num_players == 4 and kind.short_name in _PARTNERS else (),
            interchangeable=num_players == 2 and not (self.hidden or observe) and kind.short_name in _INTERCHANGEABLE,
        )

    def __reduce__(self) -> tuple[Callable[[str], "OpenSpielGame"], tuple[str]]:
        """Let positions be pickled: their game is loaded again, once per process."""
        return _again, (self.spec.name,)

    def initial_state(self) -> OpenSpielState:
        return self._state(self, self.native.new_initial_state())

    def single_env(self, row: Row) -> "OpenSpielEnv":
        return OpenSpielEnv(self, row)


@cache
def _again(reference: str) -> OpenSpielGame:
    """Return this process's game of a reference."""
    parsed = parse(reference)
    return OpenSpielGame(parsed.name, **dict(parsed.arguments))


class OpenSpielEnv(GameEnv):
    """GameEnv with inlined code for the common case, turns without chance: Python calls took half of the time."""

    state: OpenSpielState

    def __init__(self, game: OpenSpielGame, row: Row) -> None:
        super().__init__(game, row)
        self._new = game.native.new_initial_state
        self._observe = game.observe
        self._tensor = memoryview(game.tensor)
        self._obs_bytes = [memoryview(view) for view in self._obs]
        self._inlined = not (game.spec.chance or game.spec.step_rewards) and game.spec.turns == "sequential"

    def reset(self, seed: int) -> None:
        if not self._inlined:
            super().reset(seed)
            return
        state = self.state
        state.native = native = self._new()  # the OpenSpielState is reused: nothing else holds it
        state.player = player = native.current_player()
        self._paid = self._nothing
        self._write(native, player)

    def step(self, actions: Sequence[int]) -> bool:
        if not self._inlined:
            return super().step(actions)
        state = self.state
        native = state.native
        native.apply_action(actions[state.player])
        state.player = player = native.current_player()
        if player < 0:
            self._close()
            return True
        # `_write` again, in place: this runs at every step of every environment.
        self._acting[player] = 1
        self._observe(native, player)
        self._obs_bytes[player][:] = self._tensor
        mask = self._mask[player]
        for action in native.legal_actions():
            mask[action] = 1
        return False

    def _write(self, native: Any, player: int) -> None:
        """Write the observation and the legal actions of the player to move."""
        self._acting[player] = 1
        self._observe(native, player)
        self._obs_bytes[player][:] = self._tensor
        mask = self._mask[player]
        for action in native.legal_actions():
            mask[action] = 1

    def _close(self) -> None:
        self._pay()
        self._terminated.fill(True)
        for player, obs in enumerate(self._obs_bytes):
            self._observe(self.state.native, player)
            obs[:] = self._tensor


def make(name: str, arguments: dict[str, Any], num_envs: int) -> Vector:
    """Build a game by name as a VecEnv."""
    return vectorize(load(name, arguments), num_envs)


def load(name: str, arguments: dict[str, Any]) -> OpenSpielGame:
    """Build a game by name, with positions to clone."""
    return OpenSpielGame(name, **arguments)


def names() -> list[str]:
    """Return the short names of OpenSpiel's registered games."""
    return sorted(pyspiel.registered_names())


def _reference(name: str, parameters: dict[str, Any]) -> str:
    """Return a game's reference: words without quotes, as in `deck=short`, unless they would then be misread."""
    written = ",".join(f"{key}={_written(key, value)}" for key, value in parameters.items())
    return f"openspiel:{name}({written})" if written else f"openspiel:{name}"


def _written(key: str, value: Any) -> str:
    """Return a parameter's value in the form that reads back as the same value, whatever follows it."""
    try:
        read = parse(f"game({key}={value}, and_more=0)").arguments
    except UserError:
        return repr(value)
    return str(value) if repr(read) == repr(((key, value), ("and_more", 0))) else repr(value)


def _observation(name: str, game: Any, observe: Any) -> Any:
    """Return the writer of what players observe: by default the observation, or else the information state."""
    recall = pyspiel.IIGObservationType(
        perfect_recall=True, public_info=True, private_info=pyspiel.PrivateInfoType.SINGLE_PLAYER
    )
    for kind in (None, recall) if observe is None else (recall,):
        try:
            with _quiet():
                observation = make_observation(game, kind)
        except Exception:  # pyspiel raises RuntimeError or SpielError if a game has no such observer
            continue
        # A game written in Python may have an observer of its own, without the writer of OpenSpiel's.
        if observation is not None and observation.tensor is not None and hasattr(observation, "_observation"):
            return observation
    raise UserError(
        f"'openspiel:{name}' gives its players no observation tensor; choose another game (`marl games list`)"
    )


def _refuse_views(name: str, kind: Any, observe: Any) -> None:
    """Raise UserError for what a game's players cannot observe."""
    if observe is None:
        return
    if observe != INFORMATION_STATE:
        raise UserError(f"expected {OBSERVE} of '{name}' to be {INFORMATION_STATE}, got {observe!r}, or leave it out")
    if not kind.provides_information_state_tensor:
        raise UserError(f"'openspiel:{name}' has no information-state tensor; leave {OBSERVE}={INFORMATION_STATE} out")


def _shape(observation: Any) -> tuple[int, ...]:
    """Return the tensor's shape if there is one tensor, else the flat size."""
    if len(observation.dict) == 1:
        return tuple(int(n) for n in next(iter(observation.dict.values())).shape)
    return (int(observation.tensor.size),)


def _symmetry(name: str, shape: tuple[int, ...]) -> Symmetry:
    """Return the symmetry of a board seen as planes; none if a "square" board has sides of different lengths."""
    if len(shape) != 3 or (_SYMMETRY.get(name) == "square" and shape[1] != shape[2]):
        return ""
    return _SYMMETRY.get(name, "")


def _load(name: str, parameters: dict[str, Any], *, nested: bool = False) -> Any:
    """Load a game; one that is `nested` in the parameters of another takes no argument of ours."""
    registered = pyspiel.registered_names()
    if name not in registered:
        raise UserError(
            f"expected a game of OpenSpiel's, got '{name}'{nearest(name, registered)} (`marl games list` names them)"
        )
    by_name = {kind.short_name: kind for kind in pyspiel.registered_games()}
    allowed = by_name[name].parameter_specification
    known = [*allowed, OBSERVE] if by_name[name].provides_information_state_tensor and not nested else [*allowed]
    for parameter in parameters:
        if parameter not in allowed:
            raise UserError(
                f"'openspiel:{name}' takes {', '.join(sorted(known)) or 'no parameters'}, got '{parameter}'"
                f"{nearest(parameter, known)}"
            )
        value, default = parameters[parameter], allowed[parameter]
        if name in _ENDLESS and (parameter, value) == ("horizon", -1):
            continue
        counts = type(default) is int and default >= 1 and parameter not in _MAY_BE_ZERO
        if type(value) is int and value < 1 and (counts or parameter in _COUNTS.get(name, ())):
            raise UserError(f"expected {parameter} of '{name}' to be at least 1, got {value}")
    try:
        with _quiet():
            return pyspiel.load_game(name, {key: _parameter(value) for key, value in parameters.items()})
    except UserError:  # about a nested game
        raise
    except Exception as error:  # pyspiel raises SpielError, ValueError or TypeError
        reason = " ".join(str(error).split())
        example = next((f", as in openspiel:{text}" for text in EXAMPLES if text.startswith(f"{name}(")), "")
        takes = "" if parameters else f"; it takes {', '.join(sorted(allowed))}{example}"
        given = parameters or "its defaults"
        raise UserError(f"OpenSpiel could not load '{name}' with {given}: {reason}{takes}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what C++ writes to stderr; drop it if an exception is raised, which says the same."""
    with tempfile.TemporaryFile() as printed:
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        printed.seek(0)
        os.write(2, printed.read())


def _uniforms(key: int) -> Callable[[], float]:
    """Return a function that draws numbers in [0, 1), the n-th of them a hash of `key` and n."""
    draws = count()
    return lambda: uniform_one(fold_one(key, next(draws)))


def _resamples(game: Any) -> bool:
    """Return whether a game can resample its first decision node, by trying it."""
    state, draws = game.new_initial_state(), count()
    while state.is_chance_node():  # always the first outcome would never end: crazy_eights turns up eights again
        outcomes = [outcome for outcome, probability in state.chance_outcomes() if probability > 0]
        state.apply_action(outcomes[fold_one(0, next(draws)) % len(outcomes)])
    try:
        with _quiet():
            state.resample_from_infostate(max(state.current_player(), 0), lambda: uniform_one(fold_one(0, next(draws))))
    except pyspiel.SpielError:
        return False
    return True


def _parameter(value: Any) -> Any:
    """Return a parameter; one with brackets is a nested game, as in `game=goofspiel(num_cards=4)`."""
    if not (isinstance(value, str) and "(" in value):
        return value
    inner = parse(value)
    game = _load(str(Reference(inner.source, inner.name, ())), dict(inner.arguments), nested=True)
    return game.get_parameters() | {"name": game.get_type().short_name}


def _refuse(name: str, game: Any, kind: Any) -> None:
    reason = None
    if kind.dynamics not in _TURNS:
        reason = "is a mean-field game, which has no separate players"
    elif kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        reason = "draws its chance inside the rules, so that a seed cannot fix an episode"
    elif "add_noise(" in str(game):
        reason = "draws its noise in the order in which terminal positions are reached, so a seed cannot fix an episode"
    elif not (kind.provides_observation_tensor or kind.provides_information_state_tensor):
        reason = "gives its players no observation tensor"
    if reason:
        raise UserError(f"'openspiel:{name}' {reason}; choose another game (`marl games list`)")
