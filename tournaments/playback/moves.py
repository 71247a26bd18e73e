"""Play recorded games again: their moves through the game contract, many games side by side.

The seed of a game gives its chance events, and the recorded moves give everything else, the random opening included. No
agent is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from games import rounding
from games.arrays import Actions
from games.contract import Box, Spec, TimeStep, VecEnv
from tournaments.records.played import PlayedGame
from tournaments.records.results import FORFEITS

NUM_ENVS = 256  # games that are played again side by side


@dataclass(frozen=True)
class Move:
    """The action of one player at one step; `action` has a list of numbers where actions are continuous."""

    player: int
    action: int | list[float]
    name: str


@dataclass(frozen=True)
class Step:
    """One step of a game: the moves of the players who acted, and the position before them; "" if it has no text."""

    moves: tuple[Move, ...]
    position: str = ""


@dataclass(frozen=True)
class Playback:
    """What came of playing a recorded game again.

    `length` is the number of steps that were played, `payoffs` [N] what they paid, `rounding` the bound on the rounding
    error of the payoffs. `over` and `truncated` say whether the game ended with the last of these steps, and whether it
    was truncated; `acting` are the players who must act after it. `fault` says why the recorded moves could not all be
    played; "" if they were. `steps` are given where they were asked for; `position` is then the last one.
    """

    length: int
    payoffs: tuple[float, ...]
    rounding: float
    over: bool
    truncated: bool
    acting: tuple[int, ...]
    fault: str = ""
    steps: Sequence[Step] = ()
    position: str = ""


@dataclass
class _Reel:
    """A recorded game while it is played again in one environment."""

    moves: Actions  # [T, N] or [T, N, D]: the steps to play
    steps: list[Step] = field(default_factory=list)
    position: str = ""
    fault: str = ""


def steps_of(game: PlayedGame) -> int:
    """Return how many of a game's steps have been played: all but the one at which somebody forfeited it."""
    return game.length - (game.termination in FORFEITS)


def moves_of(game: PlayedGame, spec: Spec) -> Actions | None:
    """Return the recorded moves [length, N] or [length, N, D]; None where the store has none.

    Raises ValueError if the record does not have the size of the game's length.
    """
    if game.moves is None:
        return None
    box = isinstance(spec.action, Box)
    moves = np.frombuffer(game.moves, np.float32 if box else np.int32)
    return moves.reshape(game.length, spec.num_players, *([-1] if box else []))


def play_back(
    venv: VecEnv, games: Sequence[PlayedGame], *, names: bool = False, positions: bool = False
) -> list[Playback]:
    """Play recorded games again, `venv.num_envs` of them side by side; return what came of each, in their order.

    With `names` the steps are returned, with the names of actions; with `positions` also the text of the positions. A
    game without moves has no steps to play.
    """
    order = sorted(range(len(games)), key=lambda k: games[k].length)  # so that few wait for the longest
    found: dict[int, Playback] = {}
    for start in range(0, len(games), venv.num_envs):
        chosen = order[start : start + venv.num_envs]
        together = _side_by_side(venv, [games[k] for k in chosen], names or positions, positions)
        found |= dict(zip(chosen, together, strict=True))
    return [found[k] for k in range(len(games))]


def _side_by_side(venv: VecEnv, games: Sequence[PlayedGame], names: bool, positions: bool) -> list[Playback]:
    """Play at most one game in each environment again; an environment whose game is over plays its first actions."""
    spec, num_envs = venv.spec, venv.num_envs
    reels = [_reel(game, spec) for game in games]
    left = np.zeros(num_envs, np.int64)  # [E] steps to play
    left[: len(reels)] = [len(reel.moves) for reel in reels]
    longest = int(left.max())
    record = _recorded(reels, spec, num_envs, longest)
    seeds = np.zeros(num_envs, np.uint64)
    seeds[: len(games)] = [game.fixture.seed for game in games]
    played, returns = np.zeros(num_envs, np.int64), np.zeros((num_envs, spec.num_players))
    rounded = np.zeros(num_envs)
    over, truncated = np.zeros(num_envs, bool), np.zeros(num_envs, bool)
    acting = np.zeros((num_envs, spec.num_players), bool)
    timestep = venv.reset(seeds)
    for step in range(longest + 1):
        ready = np.flatnonzero(left == step)
        acting[ready] = timestep.acting[ready] & ~over[ready, None]
        if positions:
            for e in ready[ready < len(reels)].tolist():
                reels[e].position = _position(venv, e)
        if step == longest:
            break
        wrong = (step < left)[:, None] & _unplayable(spec, timestep, record[step])
        for e in np.flatnonzero(wrong.any(1)).tolist():
            reels[e].fault = _described(timestep, record[step], e, int(wrong[e].argmax()), step)
            left[e] = step
            acting[e] = timestep.acting[e]
        live = step < left
        if names:
            for e in np.flatnonzero(live).tolist():
                reels[e].steps.append(_step(venv, timestep, record[step, e], e, positions))
        timestep = venv.step(_playable(spec, timestep, record[step], live))
        returns += np.where(live[:, None], timestep.reward, 0)
        rounded += np.where(live, rounding.of_payments(timestep.reward), 0)
        played += live
        ended = live & timestep.last
        over |= ended
        truncated |= ended & timestep.truncated.any(1)
        for e in np.flatnonzero(ended & (left > step + 1)).tolist():
            reels[e].fault = f"the game ends after {step + 1} steps, and {left[e]} are recorded"
            left[e] = step + 1
    return [
        Playback(
            length=int(played[e]),
            payoffs=tuple(returns[e].tolist()),
            rounding=float(rounded[e]) + rounding.of_sums(spec, int(played[e])),
            over=bool(over[e]),
            truncated=bool(truncated[e]),
            acting=tuple(np.flatnonzero(acting[e]).tolist()),
            fault=reel.fault,
            steps=reel.steps,
            position=reel.position,
        )
        for e, reel in enumerate(reels)
    ]


def _reel(game: PlayedGame, spec: Spec) -> _Reel:
    none = np.zeros((0, spec.num_players))
    if (seats := len(game.fixture.agents)) != spec.num_players:
        return _Reel(none, fault=f"it has {seats} seats, and the game has {spec.num_players}")
    try:
        moves = moves_of(game, spec)
    except ValueError:
        return _Reel(none, fault=f"its {len(game.moves or b'')} bytes of moves do not fit {game.length} steps")
    return _Reel(none if moves is None else moves[: steps_of(game)])


def _recorded(reels: Sequence[_Reel], spec: Spec, num_envs: int, longest: int) -> Actions:
    """Return the recorded moves of all games [T, E, N] or [T, E, N, D], with zeros behind their ends."""
    size, kind = ([spec.action.size], np.float32) if isinstance(spec.action, Box) else ([], np.int64)
    shape = (longest, num_envs, spec.num_players, *size)
    record: Actions = np.zeros(shape, kind)
    for e, reel in enumerate(reels):
        if len(reel.moves) and reel.moves.shape[1:] != shape[2:]:
            reel.fault, reel.moves = f"its moves do not fit {spec.action}", reel.moves[:0]
        record[: len(reel.moves), e] = reel.moves if len(reel.moves) else 0
    return record


def _unplayable(spec: Spec, timestep: TimeStep, joint: Actions) -> NDArray[np.bool_]:
    """Return which recorded actions do not fit the position [E, N]: illegal ones, and any of a player not acting."""
    if isinstance(spec.action, Box):
        low, high = spec.action_bounds
        legal = (((joint >= low) & (joint <= high)) | ~spec.action_numbers).all(2)
        nothing = (joint == 0).all(2)
    else:
        inside = (joint >= 0) & (joint < spec.action.n)
        chosen = np.where(inside, joint, 0)[:, :, None]
        legal = inside & np.take_along_axis(timestep.action_mask, chosen, 2)[:, :, 0]
        nothing = joint == 0
    return np.asarray(np.where(timestep.acting, ~legal, ~nothing))


def _playable(spec: Spec, timestep: TimeStep, joint: Actions, live: NDArray[np.bool_]) -> Actions:
    """Return the joint actions to play: the recorded ones where a game is played, else the first legal ones."""
    if isinstance(spec.action, Box):
        return np.where(live[:, None, None], joint, spec.action_bounds[0])
    return np.where(live[:, None], joint, timestep.action_mask.argmax(2))


def _described(timestep: TimeStep, joint: Actions, e: int, player: int, step: int) -> str:
    action = joint[e, player].tolist()
    if not timestep.acting[e, player]:
        return f"at step {step} an action of player {player} is recorded, who does not act there"
    return f"at step {step} the recorded action {action} of player {player} is not legal"


def _step(venv: VecEnv, timestep: TimeStep, joint: Actions, e: int, positions: bool) -> Step:
    named = getattr(venv, "action_name", None)
    moves = []
    for player in np.flatnonzero(timestep.acting[e]).tolist():
        action = joint[player].tolist()
        if isinstance(venv.spec.action, Box):
            name = "(" + ", ".join(f"{number:.4g}" for number in action) + ")"
        else:
            name = str(named(e, player, action)) if named else str(action)
        moves.append(Move(player, action, name))
    return Step(tuple(moves), _position(venv, e) if positions else "")


def _position(venv: VecEnv, e: int) -> str:
    render = getattr(venv, "render", None)
    return str(render(e)).rstrip() if render else ""
