"""The conformance kit: play random games and check every promise of the contract.

Each promise is a function that returns where it was broken, or None; it raises `DoesNotApply` where the game does not
make it. Some check a recorded play, some replay the game under other conditions, some check its positions.
`marl games check REF` prints which promise was broken, in which environment, at which step and from which seed.
"""

import reprlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.contract import MOST_STEPS, Game, Spec, State, TimeStep, VecEnv
from games.drawing.faults import fault
from games.errors import GameFailed, UserError, in_words
from games.guard import TOLERANCE, unequal
from games.keys import fold, fold_one, stream
from games.random_play import random_actions
from games.registry import load, make
from games.vector import Vector, missing, vectorize

FIELDS = ("obs", "action_mask", "acting", "reward", "terminated", "truncated", "global_state", "first", "seed")
NUM_ENVS = 4
MOST_POSITIONS = 300  # of one random walk
MOST_DRAWN = 20  # positions of one random walk that are drawn


class DoesNotApply(Exception):
    """Raised by a check of a promise that the game does not make; its text is the reason."""


@dataclass(frozen=True)
class Play:
    """A recorded random play: `seen` [T, E, ...], by the names of TimeStep's fields, and `actions` [T - 1, E, N, ...].

    Views [T, E, N] and global states [T, E] are stored as hashes, since images would not fit in memory.
    """

    spec: Spec
    seen: dict[str, NDArray[Any]]
    finite: NDArray[np.bool_]  # [T, E, N] the view is finite
    actions: Actions
    misfits: list[str]  # fields whose shape or dtype is not the Spec's
    revived: bool  # players came back after their ends, in new lives
    outside: str | None  # a view outside its declared space, "" if there was none; None if no spaces are declared

    def __getattr__(self, name: str) -> NDArray[Any]:
        return self.seen[name]

    @property
    def last(self) -> NDArray[np.bool_]:
        """[T, E] the last step of an episode."""
        return np.asarray((self.terminated | self.truncated).all(2))

    @property
    def fresh(self) -> NDArray[np.bool_]:
        """[T, E, N] the view is valid: its player acts, or the episode has just ended."""
        return np.asarray(self.acting | self.last[:, :, None])

    @property
    def age(self) -> NDArray[np.int64]:
        """[T, E] steps since the episode opened."""
        now = np.arange(len(self.first))[:, None]
        return now - np.maximum.accumulate(np.where(self.first, now, 0))

    def where(self, broken: NDArray[np.bool_], what: str) -> str | None:
        """Return `what` and where an array [T, E, ...] is first true; None if it is nowhere."""
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


Progress = Callable[[int, int, str], None]  # takes the number done, the total, and a description


def check_game(reference: str, episodes: int = 20, seed: int = 0, progress: Progress = lambda *_: None) -> Report:
    """Play about `episodes` random episodes of a game and report on every promise.

    If no episode of the first play ends, the checks that would play again are left out: they would take as long.
    Raises UserError where the game cannot be built.
    """
    venv = make(reference, NUM_ENVS, guard=False)
    total = episodes + len(OF_TWINS) + len(OF_POSITIONS)

    def report_play(ended: int, steps: int) -> None:
        progress(min(ended, episodes), total, f"{ended} of {episodes} episodes, {steps:,} steps")

    try:
        play = record(venv, fold(stream(seed, "check"), np.arange(NUM_ENVS)), episodes, report=report_play)
    except GameFailed as error:
        where = f"environment {error.environment}, step {error.step}, seed {error.seed}"
        return Report(reference, [Promise("plays", False, f"{error.what}: {where}")])
    except Exception as error:  # a plug-in may raise anything
        return Report(reference, [Promise("plays", False, in_words(error))])
    promises = [_promise(name, partial(check, play)) for name, check in OF_PLAY.items()]
    if not play.last.any():
        rest = (*OF_TWINS, *OF_POSITIONS)
        return Report(reference, promises + [Promise(name, None, "no episode ended") for name in rest])
    for done, (name, check) in enumerate(OF_TWINS.items(), episodes):
        progress(done, total, f"checking: {name}")
        promises.append(_promise(name, partial(check, reference, play)))
    try:
        game = load(reference)
    except UserError:
        return Report(reference, promises + [Promise(name, None, "no positions to clone") for name in OF_POSITIONS])
    keys = [fold_one(stream(seed, "positions"), k) for k in range(min(episodes, 10))]
    for done, (name, walk) in enumerate(OF_POSITIONS.items(), episodes + len(OF_TWINS)):
        progress(done, total, f"checking: {name}")
        promises.append(_promise(name, partial(_first_broken, walk, game, keys)))
    return Report(reference, promises)


def _promise(name: str, check: Callable[[], str | None]) -> Promise:
    try:
        broken = check()
    except DoesNotApply as reason:
        return Promise(name, None, str(reason))
    except Exception as error:  # a plug-in may raise anything
        broken = in_words(error)
    return Promise(name, broken is None, broken or "")


def _at_each(
    check: Callable[[Game, State, list[int], int], str | None], chance: bool = False
) -> Callable[[Game, int], str | None]:
    """Return a check of the positions of a random walk, with `chance` also of its chance nodes.

    `check` gets the game, the position, the joint action that will be played there, and a key for that position.
    """

    def walk(game: Game, key: int) -> str | None:
        for ply, (state, actions) in enumerate(_walk(game, key, chance)):
            if broken := check(game, state, actions, fold_one(key, ply)):
                return f"{broken}: step {ply}"
        return None

    return walk


def _first_broken(check: Callable[[Game, int], str | None], game: Game, keys: list[int]) -> str | None:
    return next((f"{broken} (seed {key})" for key in keys if (broken := check(game, key))), None)


def record(
    venv: VecEnv,
    seeds: NDArray[np.uint64],
    episodes: int,
    idle: int = 0,
    report: Callable[[int, int], None] = lambda *_: None,
) -> Play:
    """Let random players play until `episodes` have ended, or for MOST_STEPS; actions are those of `random_actions`.

    `idle` is the action of players who are not acting. `report` is called every 16 steps with the number of episodes
    that have ended and the number of steps.
    """
    spec, ended = venv.spec, 0
    expected = TimeStep.empty(spec, venv.num_envs)
    frames: list[dict[str, NDArray[Any]]] = []
    actions: list[Actions] = []
    misfits: dict[str, None] = {}
    seats = [env.seats for env in getattr(venv, "envs", ()) if hasattr(env, "seats")]  # of adapters with spaces
    for checked in seats:
        checked.watch()
    timestep = venv.reset(seeds)
    age = np.zeros(venv.num_envs, np.int64)
    while True:
        misfits |= dict.fromkeys(_misfits(timestep, expected))
        frames.append(_frame(timestep))
        ended += int(timestep.last.sum())
        if ended >= episodes or len(actions) == MOST_STEPS:
            break
        if len(actions) % 16 == 0:
            report(ended, len(actions))
        actions.append(random_actions(spec, timestep, age, idle))
        timestep = venv.step(actions[-1])
        age = np.where(timestep.first, 0, age + 1)
    seen = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
    revived = any(checked.revived for checked in seats)
    outside = next((checked.outside for checked in seats if checked.outside), "" if seats else None)
    return Play(spec, seen, seen.pop("finite"), np.array(actions), list(misfits), revived, outside)


def _frame(timestep: TimeStep) -> dict[str, NDArray[Any]]:
    frame = {name: getattr(timestep, name).copy() for name in FIELDS if name not in ("obs", "global_state")}
    obs = timestep.obs.reshape(*timestep.acting.shape, -1)
    return frame | {
        "obs": np.array([[hash(view.tobytes()) for view in views] for views in obs]),
        "global_state": np.array([hash(state.tobytes()) for state in timestep.global_state]),
        "finite": np.isfinite(obs).all(2),
    }


def _misfits(timestep: TimeStep, expected: TimeStep) -> Iterator[str]:
    for name in FIELDS:
        got, fits = getattr(timestep, name), getattr(expected, name)
        if got.shape != fits.shape or got.dtype != fits.dtype:
            yield f"'{name}' is {got.dtype} {got.shape}, expected {fits.dtype} {fits.shape}"


def _shapes(play: Play) -> str | None:
    return play.misfits[0] if play.misfits else None


def _masks(play: Play) -> str | None:
    if play.spec.num_actions == 0:
        raise DoesNotApply("actions are continuous")
    may_choose = play.action_mask.any(3)
    sizes = np.array(play.spec.action_sizes or play.spec.num_actions).reshape(1, 1, -1, 1)
    padding = play.action_mask & (np.arange(play.spec.num_actions) >= sizes)
    return (
        play.where(play.acting & ~may_choose, "a player acts without a legal action")
        or play.where(may_choose & ~play.acting, "a player who does not act has legal actions")
        or play.where(padding, "an action beyond the player's `action_sizes` is legal")
    )


def _acting(play: Play) -> str | None:
    somebody = play.acting.any(2)
    idle = ~somebody & ~play.last & (not play.spec.idle_steps)
    return (
        play.where(idle, "nobody acts, and the episode goes on, in a game whose Spec declares no idle steps")
        or play.where(somebody & play.last, "somebody acts on the last step")
        or play.where(play.acting & (play.terminated | play.truncated), "a player acts after its end")
    )


def _turns(play: Play) -> str | None:
    if play.spec.turns != "sequential":
        raise DoesNotApply("players may move at the same time")
    return play.where(play.acting.sum(2) > 1, "two players act at the same time in a sequential game")


def _ends(play: Play) -> str | None:
    if not play.last.any():
        return (
            f"no episode ended within {len(play.actions)} steps of random play; give the game an end, or truncate "
            "the recording after some steps (`truncated`), as max_cycles and max_episode_steps do in other libraries"
        )
    if play.revived:
        raise DoesNotApply("players come back after their ends")
    goes_on = ~play.first[1:, :, None]
    for name in ("terminated", "truncated"):
        over = play.seen[name]
        taken_back = np.concatenate([np.zeros_like(over[:1]), over[:-1] & ~over[1:] & goes_on])
        if broken := play.where(taken_back, f"'{name}' is taken back before the episode is over"):
            return broken
    return None


def _opens(play: Play) -> str | None:
    """Check next-step reset: `first` where an episode opens, and only there."""
    opens = np.concatenate([np.ones_like(play.last[:1]), play.last[:-1]])
    return play.where(play.first != opens, "`first` is not the step after a last step") or play.where(
        play.first[:, :, None] & (play.terminated | play.truncated), "an episode opens with a player at its end"
    )


def _seeds(play: Play) -> str | None:
    """Check the seeds of episodes that opened without a `reset`."""
    number = np.cumsum(play.first[1:], axis=0, dtype=np.uint64)
    wrong = np.zeros_like(play.first)
    wrong[1:] = play.seed[1:] != np.where(number, fold(play.seed[0], number), play.seed[0])
    return play.where(wrong, "the seed is not that of this episode")


def _length(play: Play) -> str | None:
    if play.spec.max_length is None:
        raise DoesNotApply("max_length is not known")
    return play.where(play.age > play.spec.max_length, f"an episode is longer than {play.spec.max_length}")


def _rewards(play: Play) -> str | None:
    return play.where(~np.isfinite(play.reward), "a reward is not finite") or play.where(
        play.first[:, :, None] & (play.reward != 0), "a reward is paid on `first`"
    )


def _paid_after_an_end(play: Play) -> str | None:
    over = play.terminated | play.truncated
    complete = np.zeros_like(over)
    complete[1:] = over[:-1] & over[1:] & ~play.first[1:, :, None]
    return play.where(complete & (play.reward != 0), "a player is paid after its end")


def _paid_at_the_end(play: Play) -> str | None:
    if play.spec.step_rewards:
        raise DoesNotApply("rewards are paid along the way")
    return play.where((play.reward != 0) & ~play.last[:, :, None], "a reward is paid before the last step")


def _views(play: Play) -> str | None:
    return play.where(~play.finite & play.fresh, "a view is not finite")


def _in_space(play: Play) -> str | None:
    if play.outside is None:
        raise DoesNotApply("no library declares spaces")
    return play.outside or None


def _payoffs(play: Play) -> str | None:
    if play.spec.payoff == "general_sum":
        raise DoesNotApply("any payoff is general-sum")
    if play.spec.payoff == "team":
        return play.where(unequal(play.reward), "a team's rewards differ: pay all the same, dead or alive")
    sums = _returns(play).sum(1)
    if np.ptp(sums) > TOLERANCE * max(1, abs(_returns(play)).max()):
        hint = ", where a team's payoff is the sum of its players'" if play.spec.teams else ""
        return f"returns sum to {sums.min()} in one episode and to {sums.max()} in another{hint}"
    return None


def _bounds(play: Play) -> str | None:
    if play.spec.return_bounds is None:
        raise DoesNotApply("return_bounds are not known")
    returns, (low, high) = _returns(play), play.spec.return_bounds
    slack = TOLERANCE * max(1, abs(low), abs(high))
    outside = returns[(returns < low - slack) | (returns > high + slack)]
    return f"a return of {outside[0]} lies outside {low} to {high}" if len(outside) else None


def _returns(play: Play) -> NDArray[np.float64]:
    """Return the returns of the K episodes that ended [K, N]."""
    found = []
    for e in range(play.last.shape[1]):
        opened = 0
        for t in np.flatnonzero(play.last[:, e]).tolist():
            found.append(play.reward[opened : t + 1, e].sum(0, dtype=np.float64))
            opened = t + 1
    if not found:
        raise DoesNotApply("no episode ended")
    return np.array(found)


def _same_again(reference: str, play: Play) -> str | None:
    return _differs(play, record(make(reference, NUM_ENVS, guard=False), play.seed[0], int(play.last.sum())))


def _same_alone(reference: str, play: Play) -> str | None:
    """Check that the last environment's episodes depend neither on its index nor on the other environments."""
    alone = max(1, int(play.last[:, -1].sum()))
    return _differs(play, record(make(reference, 1, guard=False), play.seed[0, -1:], alone), slice(NUM_ENVS - 1, None))


def _same_after(reference: str, play: Play) -> str | None:
    """Check that each episode is the same when `reset` opens it after the episodes that had followed it.

    Each environment plays its episodes in reverse order; the last one, which comes first, may be cut.
    """
    opens = play.first.copy()
    opens[0] = True
    if opens.sum(0).max() < 2:
        raise DoesNotApply("no episode followed another")
    step = np.argsort(
        -np.cumsum(opens, axis=0), axis=0, kind="stable"
    )  # [T, E] the recorded steps in the order of the replay
    age, envs = play.age, np.arange(opens.shape[1])
    venv = make(reference, len(envs), guard=False)
    seen = {name: np.zeros_like(array) for name, array in play.seen.items()}
    timestep = venv.reset(play.seed[step[0], envs])
    for t, now in enumerate(step):
        if t:
            timestep = venv.step(random_actions(venv.spec, timestep, age[step[t - 1], envs]))
            if opens[now, envs].any():
                timestep = venv.reset(play.seed[now, envs], opens[now, envs])
        frame = _frame(timestep)
        for name in seen:
            seen[name][now, envs] = frame[name]
    return _differs(play, replace(play, seen=seen))


def _idle(reference: str, play: Play) -> str | None:
    return _differs(play, record(make(reference, NUM_ENVS, guard=False), play.seed[0], int(play.last.sum()), idle=-7))


def _own_loop(reference: str, play: Play) -> str | None:
    """Check returns against those of the loop that the environment's library documents."""
    venv = make(reference, 1, guard=False)
    own: Any = getattr(venv.envs[0], "own_returns", None) if isinstance(venv, Vector) else None
    if own is None:
        raise DoesNotApply("no other library's loop plays this game")
    for env in range(play.last.shape[1]):
        opened = 0
        for last in np.flatnonzero(play.last[:, env]).tolist():
            seed, ours = int(play.seed[last, env]), play.reward[opened : last + 1, env].sum(0, dtype=np.float64)
            for player, paid in own(seed, play.actions[opened:last, env].tolist()).items():
                if abs(ours[player] - paid) > TOLERANCE * max(1, abs(paid)):
                    return (
                        f"player {player} is paid {ours[player]:g}, and {paid:g} by the library's own loop: "
                        f"environment {env}, seed {seed}"
                    )
            opened = last + 1
    return None


def _optional(reference: str, play: Play) -> str | None:
    """Check `render`, `picture`, `action_name` and `states`, where there are any, at an episode's first steps."""
    venv: Any = make(reference, NUM_ENVS, guard=False)
    timestep, age = venv.reset(play.seed[0]), np.zeros(NUM_ENVS, np.int64)
    for _ in range(10):
        for env in range(NUM_ENVS):
            if hasattr(venv, "render") and not isinstance(text := venv.render(env), str):
                return f"`render` returned {reprlib.repr(text)}, expected text"
            for player in (None, *range(venv.spec.num_players)) if hasattr(venv, "picture") else ():
                legal = timestep.action_mask[env].any(0) if player is None else timestep.action_mask[env, player]
                drawn = venv.picture(env, player)
                if drawn is not None and (wrong := fault(drawn, np.flatnonzero(legal).tolist())):
                    return f"`picture({env}, {player})` {wrong}"
            for player, action in (
                np.argwhere(timestep.action_mask[env]).tolist() if hasattr(venv, "action_name") else ()
            ):
                if not isinstance(word := venv.action_name(env, player, action), str):
                    return f"`action_name` returned {reprlib.repr(word)}, expected a word"
        if venv.spec.searchable and (broken := _states(venv)):
            return broken
        timestep = venv.step(random_actions(venv.spec, timestep, age))
        age = np.where(timestep.first, 0, age + 1)
    return None


def _states(venv: Any) -> str | None:
    if not hasattr(venv, "states"):
        return (
            "expected `states(envs)` of a game whose Spec says searchable=True, got none; add it, or set "
            "searchable=False"
        )
    states = venv.states(np.arange(NUM_ENVS))
    if len(states) != NUM_ENVS or not all(isinstance(state, State) for state in states):
        return f"`states` returned {reprlib.repr(states)}, expected a State for each environment"
    return _lacking(venv.spec, states[0])


def _differs(play: Play, twin: Play, envs: slice = slice(None)) -> str | None:
    """Return where the episodes of the chosen environments differ from those of their replay `twin`."""
    length = min(len(play.seed), len(twin.seed))
    for name in FIELDS:
        if play.seen[name].shape[2:] != twin.seen[name].shape[2:]:
            return f"'{name}' has another shape"
        broken = np.zeros(play.seen[name].shape, bool)
        broken[:length, envs] = play.seen[name][:length, envs] != twin.seen[name][:length]
        if name == "obs":
            broken &= play.fresh
        if broken.any():
            return play.where(broken, f"'{name}' differs")
    return None


def _chosen(reference: str, play: Play) -> str | None:
    """Check `reset(seeds, where)` in the middle of an episode."""
    venv, where = make(reference, NUM_ENVS, guard=False), np.arange(NUM_ENVS) % 2 == 1
    timestep = venv.reset(play.seed[0])
    timestep = venv.step(random_actions(venv.spec, timestep, np.zeros(NUM_ENVS, np.int64)))
    before = _frame(timestep)
    seeds = play.seed[0][::-1].copy()
    after = _frame(venv.reset(seeds, where))
    opened = _frame(make(reference, NUM_ENVS, guard=False).reset(seeds))
    opened["obs"] = np.where(opened["acting"], opened["obs"], after["obs"])
    for name in FIELDS:
        if (after[name] != before[name])[~where].any():
            return f"'{name}' of an environment that was not chosen changed: seed {play.seed[0, 0]}"
        if (after[name] != opened[name])[where].any():
            return f"'{name}' of a chosen environment is not that of a new episode: seed {seeds[1]}"
    return None


def _clones(game: Game, state: State, actions: list[int], key: int) -> str | None:
    """Check that a clone and its original change independently."""
    before, clone = state.key(), state.clone()
    if clone.key() != before:
        return f"a clone's key is {clone.key()!r}, its original's {before!r}"
    clone.apply(actions)
    return "a move on a clone changed its original" if state.key() != before else None


def _legal(game: Game, state: State, actions: list[int], key: int) -> str | None:
    for player in state.acting():
        legal = list(state.legal_actions(player))
        if not legal or len(set(legal)) != len(legal) or not all(0 <= a < game.spec.num_actions for a in legal):
            return f"player {player}'s legal actions are {legal}, of {game.spec.num_actions}"
    return None


def _chance(game: Game, state: State, actions: list[int], key: int) -> str | None:
    """Check that chance is declared, and is a distribution."""
    outcomes = state.chance_outcomes()
    if bool(outcomes) == bool(state.acting()):
        return "a position is not exactly one of chance node, decision and end"
    if outcomes and not game.spec.chance:
        return "chance moves in a game whose Spec declares none"
    probabilities = [probability for _, probability in outcomes]
    if outcomes and (min(probabilities) < 0 or abs(sum(probabilities) - 1) > 1e-6):
        return f"the probabilities of chance sum to {sum(probabilities)}"
    return None


def _resampled(game: Game, state: State, actions: list[int], key: int) -> str | None:
    """Check that a player cannot tell a resampled position from the true one."""
    resample: Any = getattr(state, "resample", None)
    if resample is None:
        return _lacking(game.spec, state) or _does_not_apply("positions have no `resample`")
    before = state.key()
    for player in state.acting():
        other, again = resample(player, key), resample(player, key)
        if other.key() != again.key():
            return f"one key resamples two positions for player {player}"
        if _observed(game, other, player) != _observed(game, state, player):
            return f"player {player} can tell a resampled position from the true one"
    return "a resample changed its original" if state.key() != before else None


def _lacking(spec: Spec, state: State) -> str | None:
    """Name the methods for hidden information that the Spec promises and positions lack."""
    if spec.searchable and not spec.perfect_information and spec.resamples and (methods := missing(state)):
        return f"the game hides information, and its positions have no {methods}; add it, or set resamples=False"
    return None


def _does_not_apply(reason: str) -> str | None:
    raise DoesNotApply(reason)


def _information(game: Game, key: int) -> str | None:
    """Check that positions of equal information look the same to their player."""
    known: dict[tuple[int, Hashable], object] = {}
    for state, _ in _walk(game, key):
        information: Any = getattr(state, "information", None)
        if information is None:
            return _lacking(game.spec, state) or _does_not_apply("positions have no `information`")
        for player in state.acting():
            seen = _observed(game, state, player)
            if known.setdefault((player, information(player)), seen) != seen:
                return f"player {player} sees a difference at equal information {reprlib.repr(information(player))}"
    return None


def _observed(game: Game, state: State, player: int) -> object:
    """Return everything that a player can observe of a position."""
    view = np.zeros(int(np.prod(game.spec.observation.shape)), game.spec.observation.dtype)
    state.observe(player, view)
    information: Any = getattr(state, "information", lambda player: None)
    return view.tobytes(), sorted(state.legal_actions(player)), information(player), state.acting()


def _drawings(game: Game, key: int) -> str | None:
    """Check a game's own drawings, and that a player's own is the same at positions that it cannot tell apart."""
    for ply, (state, _) in enumerate(islice(_walk(game, key), MOST_DRAWN)):
        draw: Any = getattr(state, "draw", None)
        if draw is None:
            return _does_not_apply("positions have no `draw`")
        legal = {player: set(state.legal_actions(player)) for player in state.acting()}
        for player in (None, *range(game.spec.num_players)):
            drawn = draw(player)
            may = set().union(*legal.values()) if player is None else legal.get(player, set())
            if drawn is not None and (broken := fault(drawn, may)):
                return f"`draw({player})` {broken}: step {ply}"
            resample: Any = getattr(state, "resample", None)
            if player in legal and resample and resample(player, fold_one(key, ply)).draw(player) != drawn:
                return f"player {player}'s drawing gives away what is hidden from it: step {ply}"
    return None


def _keys(game: Game, key: int) -> str | None:
    """Check that the same moves lead to equal keys, and that positions with equal keys have the same legal moves."""
    known: dict[Hashable, list[tuple[int, list[int]]]] = {}
    for (state, _), (twin, _) in zip(_walk(game, key), _walk(game, key), strict=True):
        if state.key() != twin.key() or hash(state.key()) != hash(twin.key()):
            return f"the same moves led to keys {state.key()!r} and {twin.key()!r}"
        moves = [(player, list(state.legal_actions(player))) for player in state.acting()]
        if known.setdefault(state.key(), moves) != moves:
            return f"two positions with different moves have the key {state.key()!r}"
    return None


def _positions(game: Game, key: int) -> str | None:
    """Check what the environment writes against its positions, over one episode."""
    venv = vectorize(game, 1)
    timestep, age, paid = venv.reset(np.array([key], np.uint64)), 0, np.zeros(game.spec.num_players)
    view = np.zeros(int(np.prod(game.spec.observation.shape)), game.spec.observation.dtype)
    while True:
        (state,), paid = venv.states(np.array([0])), paid + timestep.reward[0]
        over = bool(timestep.last[0])
        if state.is_terminal() != over:
            return f"the position is {'' if over else 'not '}the last step's: step {age}"
        if over or age == MOST_POSITIONS:
            break
        if tuple(np.flatnonzero(timestep.acting[0])) != tuple(sorted(state.acting())):
            return f"'acting' is {timestep.acting[0]}, {state.acting()} are to move: step {age}"
        for player in state.acting():
            if np.flatnonzero(timestep.action_mask[0, player]).tolist() != sorted(state.legal_actions(player)):
                return f"player {player}'s mask is not its legal actions: step {age}"
            state.observe(player, view)
            if not np.array_equal(view, timestep.obs[0, player].reshape(-1), equal_nan=True):
                return f"player {player}'s view is not the position's: step {age}"
        timestep = venv.step(random_actions(game.spec, timestep, np.array([age])))
        age += 1
    returns = np.asarray(state.returns(), np.float64)
    if over and (abs(paid - returns) > TOLERANCE * np.maximum(1, abs(returns))).any():
        return f"rewards sum to {paid}, returns are {returns}"
    return None


def _walk(game: Game, key: int, chance: bool = False) -> Iterator[tuple[State, list[int]]]:
    """Yield the positions of a random game, with `chance` also its chance nodes, each with the joint action played."""
    return islice(_steps(game, key, chance), MOST_POSITIONS)


def _steps(game: Game, key: int, chance: bool) -> Iterator[tuple[State, list[int]]]:
    state, ply = game.initial_state(), 0
    while not state.is_terminal():
        draw, ply = fold_one(key, ply), ply + 1
        actions = [0] * game.spec.num_players
        if not state.acting():
            if chance:
                yield state, actions
            outcomes = [outcome for outcome, probability in state.chance_outcomes() if probability > 0]
            state.apply_chance(outcomes[draw % len(outcomes)])
            continue
        for player in state.acting():
            legal = state.legal_actions(player)
            actions[player] = legal[fold_one(draw, player) % len(legal)]
        yield state, actions
        state.apply(actions)


OF_PLAY: dict[str, Callable[[Play], str | None]] = {
    "shapes and dtypes are the Spec's": _shapes,
    "masks agree with acting": _masks,
    "players act until their ends": _acting,
    "turns are as declared": _turns,
    "episodes end, and ends are final": _ends,
    "an episode opens the step after a last step": _opens,
    "episode k is seeded by fold(the seed given, k)": _seeds,
    "episodes are no longer than declared": _length,
    "rewards are finite, and 0 on first": _rewards,
    "nothing is paid after an end": _paid_after_an_end,
    "rewards are paid when declared": _paid_at_the_end,
    "views are finite": _views,
    "views lie in their spaces": _in_space,
    "payoffs are as declared": _payoffs,
    "returns lie within their bounds": _bounds,
}
OF_TWINS: dict[str, Callable[[str, Play], str | None]] = {
    "the same seed gives the same episode": _same_again,
    "an episode is the same whatever the batch": _same_alone,
    "an episode is the same whatever was played before": _same_after,
    "actions of players who are not acting are ignored": _idle,
    "a reset of some environments leaves the others unchanged": _chosen,
    "optional methods work": _optional,
    "returns are those of the library's own loop": _own_loop,
}
OF_POSITIONS: dict[str, Callable[[Game, int], str | None]] = {
    "clones are independent": _at_each(_clones),
    "equal positions have equal keys": _keys,
    "legal actions are within the Spec's": _at_each(_legal),
    "chance is declared, and its probabilities sum to one": _at_each(_chance, chance=True),
    "positions of equal information look the same": _information,
    "a resampled position looks the same to its player": _at_each(_resampled),
    "drawings are whole, and a player's shows nothing hidden": _drawings,
    "steps agree with positions, returns with rewards": _positions,
}
