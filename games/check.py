"""The conformance kit: play random games and check every promise of the contract.

A promise is a function over a recorded play that returns where it broke, or nothing. Whoever plugs in a game runs
`marl games check REF` and reads which promise broke, in which environment, at which step and from which seed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec, TimeStep, VecEnv
from games.errors import UserError
from games.keys import choose, fold, fold_one, stream, uniform
from games.registry import load, make

FIELDS = ("obs", "action_mask", "acting", "reward", "terminated", "truncated", "global_state", "first", "seed")
NUM_ENVS = 4
MOST_STEPS = 20_000  # a game that never ends is cut here


@dataclass(frozen=True)
class Play:
    """What random players saw [T, E, ...], by the names of TimeStep's fields, and what they did [T, E, N]."""

    spec: Spec
    seen: dict[str, NDArray[Any]]
    actions: NDArray[Any]

    def __getattr__(self, name: str) -> NDArray[Any]:
        return self.seen[name]

    @property
    def last(self) -> NDArray[np.bool_]:
        """[T, E] the last step of an episode."""
        return np.asarray((self.terminated | self.truncated).all(2))

    def where(self, broken: NDArray[np.bool_], what: str) -> str | None:
        """Say where an array [T, E, ...] is first true."""
        if not broken.any():
            return None
        t, e = np.argwhere(broken)[0][:2]
        return f"{what}: step {t}, environment {e}, seed {self.seed[t, e]}"


@dataclass(frozen=True)
class Promise:
    """A promise, whether it was kept (None: it does not apply here), and where it broke."""

    promise: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """What the check of a game found."""

    game: str
    promises: list[Promise]

    @property
    def passed(self) -> bool:
        return all(promise.passed is not False for promise in self.promises)

    def to_json(self) -> dict[str, Any]:
        return {"game": self.game, "passed": self.passed, "promises": [vars(promise) for promise in self.promises]}

    def __str__(self) -> str:
        marks = {True: "kept  ", False: "BROKEN", None: "-     "}
        lines = [f"{marks[p.passed]}  {p.promise}{': ' + p.detail if p.detail else ''}" for p in self.promises]
        return "\n".join([f"{self.game}: {'passed' if self.passed else 'FAILED'}", *lines])


def check_game(reference: str, episodes: int = 20, seed: int = 0) -> Report:
    """Play about `episodes` random episodes of a game and report on every promise.

    Raises UserError where the game cannot be built.
    """
    venv = make(reference, NUM_ENVS)
    try:
        play = record(venv, fold(stream(seed, "check"), np.arange(NUM_ENVS)), episodes)
    except Exception as error:  # a plug-in may raise anything
        return Report(reference, [Promise("plays", False, f"{type(error).__name__}: {error}")])
    promises = [_promise(name, partial(check, play)) for name, check in OF_PLAY.items()]
    promises += [_promise(name, partial(check, reference, play)) for name, check in OF_TWINS.items()]
    try:
        game = load(reference)
    except UserError:
        return Report(
            reference, [*promises, *(Promise(name, None, "has no positions to clone") for name in OF_POSITIONS)]
        )
    keys = [fold_one(stream(seed, "positions"), k) for k in range(min(episodes, 10))]
    promises += [_promise(name, partial(_first_broken, check, game, keys)) for name, check in OF_POSITIONS.items()]
    return Report(reference, promises)


def _promise(name: str, check: Callable[[], str | None]) -> Promise:
    try:
        broken = check()
    except Exception as error:  # a plug-in may raise anything
        broken = f"{type(error).__name__}: {error}"
    return Promise(name, broken is None, broken or "")


def _first_broken(check: Callable[[Any, int], str | None], game: Any, keys: list[int]) -> str | None:
    return next(filter(None, (check(game, key) for key in keys)), None)


def record(venv: VecEnv, seeds: NDArray[np.uint64], episodes: int) -> Play:
    """Let random players play until `episodes` have ended; actions are hashes of seed, player and age."""
    spec, ended = venv.spec, 0
    frames: list[dict[str, NDArray[Any]]] = []
    actions: list[NDArray[Any]] = []
    timestep = venv.reset(seeds)
    age = np.zeros(venv.num_envs, np.int64)
    while ended < episodes and len(frames) < MOST_STEPS:
        frames.append({name: getattr(timestep, name).copy() for name in FIELDS})
        ended += int(timestep.last.sum())
        actions.append(random_actions(spec, timestep, age))
        timestep = venv.step(actions[-1])
        age = np.where(timestep.first, 0, age + 1)
    frames.append({name: getattr(timestep, name).copy() for name in FIELDS})
    seen = {name: np.stack([frame[name] for frame in frames]) for name in FIELDS}
    return Play(spec, seen, np.stack(actions))


def random_actions(spec: Spec, timestep: TimeStep, age: NDArray[np.int64]) -> NDArray[Any]:
    """Return a legal action for every player who is acting."""
    env, player = np.nonzero(timestep.acting)
    key = fold(fold(timestep.seed[env], player), age[env])
    if isinstance(spec.action, Box):
        box = np.zeros((*timestep.acting.shape, spec.action.size), np.float32)
        box[env, player] = spec.action.low + (spec.action.high - spec.action.low) * uniform(key, spec.action.size)
        return box
    actions = np.zeros(timestep.acting.shape, np.int64)
    actions[env, player] = choose(key, timestep.action_mask[env, player])
    return actions


def _shapes(play: Play) -> str | None:
    for name, expected in vars(TimeStep.empty(play.spec, NUM_ENVS)).items():
        got = play.seen[name]
        if got.shape[1:] != expected.shape or got.dtype != expected.dtype:
            return f"'{name}' is {got.dtype} {got.shape[1:]}, expected {expected.dtype} {expected.shape}"
    return None


def _masks(play: Play) -> str | None:
    if play.spec.num_actions == 0:
        return None
    any_legal = play.action_mask.any(3)
    return play.where(play.acting & ~any_legal, "a player acts without a legal action") or play.where(
        any_legal & ~play.acting, "a player who does not act has a mask"
    )


def _acting(play: Play) -> str | None:
    somebody = play.acting.any(2)
    return (
        play.where(~somebody & ~play.last, "nobody acts, and the episode goes on")
        or play.where(somebody & play.last, "somebody acts on the last step")
        or play.where(play.acting & (play.terminated | play.truncated), "a player acts after its end")
    )


def _ends(play: Play) -> str | None:
    over = play.terminated
    undone = over[:-1] & ~over[1:] & ~play.first[1:, :, None]
    if not play.last.any():
        return f"no episode ended within {len(play.actions)} steps"
    return play.where(undone, "terminated is taken back before the episode is over")


def _opens(play: Play) -> str | None:
    """Check next-step reset: `first` where an episode opens, and only there."""
    opens = np.concatenate([np.ones_like(play.last[:1]), play.last[:-1]])
    return play.where(play.first != opens, "`first` is not the step after a last step") or play.where(
        play.first[:, :, None] & (play.terminated | play.truncated), "an episode opens with a player who is over"
    )


def _rewards(play: Play) -> str | None:
    return play.where(~np.isfinite(play.reward), "a reward is not finite") or play.where(
        play.first[:, :, None] & (play.reward != 0), "a reward is paid on `first`"
    )


def _views(play: Play) -> str | None:
    finite = np.isfinite(play.obs.reshape(*play.obs.shape[:3], -1)).all(3)
    return play.where(~finite & play.acting, "a view is not finite")


def _payoffs(play: Play) -> str | None:
    returns = _returns(play)
    if len(returns) == 0 or play.spec.payoff == "general_sum":
        return None
    if play.spec.payoff == "team":
        apart = np.ptp(returns, axis=1)
        return f"a team's returns differ: {returns[apart.argmax()]}" if apart.max() > 1e-4 else None
    sums = returns.sum(1)
    return f"returns sum to {sums.min()} and to {sums.max()}" if np.ptp(sums) > 1e-4 else None


def _bounds(play: Play) -> str | None:
    returns = _returns(play)
    if play.spec.return_bounds is None or len(returns) == 0:
        return None
    low, high = play.spec.return_bounds
    outside = returns[(returns < low - 1e-4) | (returns > high + 1e-4)]
    return f"a return of {outside[0]} lies outside {low} to {high}" if len(outside) else None


def _returns(play: Play) -> NDArray[np.float64]:
    """Return the sums of rewards of the episodes that ended [K, N]."""
    found = []
    for e in range(play.last.shape[1]):
        opened = 0
        for t in np.flatnonzero(play.last[:, e]).tolist():
            found.append(play.reward[opened : t + 1, e].sum(0, dtype=np.float64))
            opened = t + 1
    return np.array(found)


def _same_again(reference: str, play: Play) -> str | None:
    return _differs(play, record(make(reference, NUM_ENVS), play.seed[0], int(play.last.sum())), slice(None))


def _same_alone(reference: str, play: Play) -> str | None:
    alone = record(make(reference, 1), play.seed[0, :1], max(1, int(play.last[:, 0].sum())))
    return _differs(play, alone, slice(0, 1))


def _differs(play: Play, twin: Play, envs: slice) -> str | None:
    for name in ("acting", "reward", "terminated", "truncated", "first", "seed", "action_mask"):
        length = min(len(play.seen[name]), len(twin.seen[name]))
        unequal = play.seen[name][:length, envs] != twin.seen[name][:length]
        if unequal.any():
            return play.where(unequal, f"'{name}' differs")
    return None


def _clones(game: Any, key: int) -> str | None:
    """Check that a clone and its original go their own ways."""
    for state, actions in _walk(game, key):
        before = state.key()
        clone = state.clone()
        if clone.key() != before:
            return f"a clone's key is {clone.key()!r}, its original's {before!r} (seed {key})"
        clone.apply(actions)
        if state.key() != before:
            return f"a move on a clone changed its original (seed {key})"
    return None


def _keys(game: Any, key: int) -> str | None:
    """Check that equal positions have equal keys, reached twice by the same moves."""
    for (state, _), (twin, _) in zip(_walk(game, key), _walk(game, key), strict=True):
        if state.key() != twin.key():
            return f"the same moves led to keys {state.key()!r} and {twin.key()!r} (seed {key})"
    return None


def _legal(game: Any, key: int) -> str | None:
    for state, _ in _walk(game, key):
        for player in state.acting():
            legal = list(state.legal_actions(player))
            if not legal or len(set(legal)) != len(legal) or not all(0 <= a < game.spec.num_actions for a in legal):
                return f"player {player}'s legal actions are {legal}, of {game.spec.num_actions} (seed {key})"
    return None


def _walk(game: Any, key: int, most: int = 300) -> Any:
    """Yield the positions of a random game, each with the joint action that will be played."""
    state = game.initial_state()
    for ply in range(most):
        if state.is_terminal():
            return
        draw = fold_one(key, ply)
        if not state.acting():
            outcomes = [outcome for outcome, _ in state.chance_outcomes()]
            state.apply_chance(outcomes[draw % len(outcomes)])
            continue
        actions = [0] * game.spec.num_players
        for player in state.acting():
            legal = state.legal_actions(player)
            actions[player] = legal[fold_one(draw, player) % len(legal)]
        yield state, actions
        state.apply(actions)


OF_PLAY: dict[str, Callable[[Play], str | None]] = {
    "shapes and dtypes are the Spec's": _shapes,
    "masks agree with acting": _masks,
    "somebody acts until the last step": _acting,
    "episodes end, and ends are final": _ends,
    "an episode opens the step after a last step": _opens,
    "rewards are finite, and 0 on first": _rewards,
    "views are finite": _views,
    "payoffs are as declared": _payoffs,
    "returns lie within their bounds": _bounds,
}
OF_TWINS: dict[str, Callable[[str, Play], str | None]] = {
    "the same seed gives the same episode": _same_again,
    "an episode is the same whatever the batch": _same_alone,
}
OF_POSITIONS: dict[str, Callable[[Any, int], str | None]] = {
    "clones are independent": _clones,
    "equal positions have equal keys": _keys,
    "legal actions are within the Spec's": _legal,
}
