"""The one loop in which agents meet an environment: self-play, mixed seats, evaluation and tournament matches.

    decide          every agent of the roster chooses actions for its seats
    play_steps      decide and step, `length` times; return every moment
    rollout         play_steps, and return a Trajectory for the learners
    play_episodes   play each of a list of episodes to its end, for evaluation and tournaments

All randomness of a decision comes from its key = fold(fold(fold(the agent's stream, the episode's seed), player),
decision), so a game does not depend on its batch-mates, on E, or on how many workers play.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games import rounding
from games.arrays import Actions
from games.contract import MOST_STEPS, Box, Spec, TimeStep, VecEnv
from games.errors import UserError
from games.keys import Keys, fold, stream
from marl.rollout.agent import Agent, Member, Random, plays_whole_team
from marl.rollout.recording import Moment, Recording, see
from marl.rollout.referee import Forfeit, Referee
from marl.rollout.seating import EMPTY, Draw, Seating
from marl.rollout.types import Decision, Hidden, Trajectory, View

OPENING = stream(0, "opening moves")


class Carry:
    """The state of play between two calls: open episodes, hidden states, the recording."""

    def __init__(self, venv: VecEnv, roster: Sequence[Agent], streams: Keys, seeds: Keys) -> None:
        """Open an episode in every environment; `streams` are the roster's keys, `seeds` [E] the episodes'."""
        seats = (venv.num_envs, venv.spec.num_players)
        self.streams = streams
        self.timestep: TimeStep = venv.reset(seeds)
        self.hidden: list[Hidden] = [agent.initial_hidden(seats[0] * seats[1]) for agent in roster]
        self.decisions = np.zeros(seats, np.int64)  # [E, N] taken in this episode
        self.idle = np.zeros(seats[0], bool)  # [E] no further episode is played here
        self.recording = Recording()
        self._keys = np.zeros(seats, np.uint64)  # [E, N] of a seat's holder, episode and player
        self._keyed = np.full(seats, EMPTY), np.zeros(seats[0], np.uint64)  # the holders and episode seeds of those

    def keys(self, seating: Seating) -> Keys:
        """Return the keys [E, N] of seats, which are those of all decisions in an episode but for their number.

        They are fold(fold(the holder's stream, the episode's seed), player), computed where one of these is new.
        """
        holders, seeds = self._keyed
        seed = self.timestep.seed
        new = (seating != holders) | (seed != seeds)[:, None]
        if new.any():
            env, player = np.nonzero(new)
            self._keys[env, player] = fold(fold(self.streams[seating[env, player]], seed[env]), player)
            self._keyed = seating.copy(), seed.copy()
        return self._keys


def decide(
    venv: VecEnv, roster: Sequence[Agent], seating: Seating, carry: Carry
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Let every agent choose for the seats that it holds and that are acting; return actions and extras [E, N, ...].

    In an EMPTY seat the first legal action is played, so that an idle environment gets valid actions. Raises the first
    failure that a Decision tells and that no referee has taken.
    """
    timestep, spec = carry.timestep, venv.spec
    env, player = np.nonzero(timestep.acting)
    actions = _no_actions(spec, venv.num_envs)
    extras: dict[str, NDArray[Any]] = {}
    holder, number = seating[env, player], carry.decisions[env, player]
    key, opening = fold(carry.keys(seating)[env, player], number), number == 0
    for first, last in _calls(roster):
        (rows,) = ((holder >= first) & (holder <= last)).nonzero()
        if len(rows) == 0:
            continue
        agent = roster[first] if first == last else _members(roster, holder[rows])
        e, p = env[rows], player[rows]
        view = View.at(venv, timestep, e, p, key[rows], first=opening[rows])
        decision = _act(agent, view, carry.hidden, first)
        if decision.failed:
            raise decision.failed[min(decision.failed)]
        actions[e, p] = decision.action
        for name, value in decision.extras.items():
            if name not in extras:
                extras[name] = np.zeros((*seating.shape, *value.shape[1:]), value.dtype)
            extras[name][e, p] = value
    (idle,) = (holder == EMPTY).nonzero()
    if len(idle) and not isinstance(spec.action, Box):
        e, p = env[idle], player[idle]
        actions[e, p] = timestep.action_mask[e, p].argmax(1)
    carry.decisions += timestep.acting
    return actions, extras


def _calls(roster: Sequence[Agent]) -> list[tuple[int, int]]:
    """Return the first and the last roster entry of each call: an agent, or successive members of one ensemble."""
    calls: list[tuple[int, int]] = []
    ensemble = None
    for entry, agent in enumerate(roster):
        before, ensemble = ensemble, agent.ensemble if isinstance(agent, Member) else None
        joins = ensemble is not None and ensemble is before
        calls[-1:] = [(calls[-1][0], entry)] if joins else [*calls[-1:], (entry, entry)]
    return calls


def _members(roster: Sequence[Agent], holder: NDArray[np.int64]) -> Member:
    """Return the members of one ensemble that hold rows, by their roster entries [B]."""
    index = np.array([agent.index if isinstance(agent, Member) else EMPTY for agent in roster])
    one = roster[holder[0]]
    assert isinstance(one, Member)
    return Member(one.ensemble, index[holder])


def _act(agent: Agent, view: View, hidden: list[Hidden], entry: int) -> Decision:
    """Ask one agent, and keep its hidden state: zeroed at `first`, advanced only at its own decisions."""
    if hidden[entry] is None:
        return agent.act(view, None)[0]
    fresh = view.row[view.first]
    beginning = agent.initial_hidden(len(fresh)) if len(fresh) else None
    if beginning is not None:  # None: the agent failed, and its referee has recorded it
        hidden[entry][fresh] = beginning
    decision, hidden[entry][view.row] = agent.act(view, hidden[entry][view.row])
    return decision


def _no_actions(spec: Spec, num_envs: int) -> Actions:
    seats = (num_envs, spec.num_players)
    return (
        np.zeros((*seats, spec.action.size), np.float32) if isinstance(spec.action, Box) else np.zeros(seats, np.int64)
    )


def _advance(venv: VecEnv, actions: Actions, carry: Carry) -> None:
    carry.timestep = venv.step(actions)
    carry.decisions[carry.timestep.first] = 0


def rollout(
    venv: VecEnv,
    roster: Sequence[Agent],
    seating: Seating,
    carry: Carry,
    length: int,
    draw: Draw | None = None,
    *,
    closing: bool = False,
) -> Trajectory:
    """Play `length` steps as `play_steps` does, and record them."""
    return carry.recording.add(play_steps(venv, roster, seating, carry, length, draw, closing=closing))


def play_steps(
    venv: VecEnv,
    roster: Sequence[Agent],
    seating: Seating,
    carry: Carry,
    length: int,
    draw: Draw | None = None,
    *,
    closing: bool = False,
) -> list[Moment]:
    """Play `length` steps; return the moment of each, and the final one.

    `seating` [E, N] holds for the whole call; with `draw`, opponents take seats of it, anew in every episode.
    With `closing` only the open episodes are played on: an environment whose episode is over has EMPTY seats from then.
    """
    moments: list[Moment] = []
    seated = seating
    for _ in range(length):
        timestep = carry.timestep
        if draw and (not moments or timestep.first.any()):
            seated = draw.seat(seating, timestep.seed)
        if closing:
            carry.idle |= timestep.first
            seated = np.where(carry.idle[:, None], EMPTY, seated)
        moment = see(timestep, seated)
        moment.action, moment.extras = decide(venv, roster, seated, carry)
        _advance(venv, moment.action, carry)
        moment.reward = carry.timestep.reward.copy()
        moments.append(moment)
    return [*moments, see(carry.timestep, seated)]


@dataclass(frozen=True)
class Episode:
    """One episode that was played to its end, or until it was cut."""

    index: int  # its index in the list of episodes
    returns: NDArray[np.float64]  # [N] each player's return; of a cut episode the return so far
    rounding: float  # bound on the rounding error of the difference of two returns (games/rounding.py)
    length: int  # steps
    truncated: bool  # by the game
    cut: bool  # stopped after `max_steps`
    forfeits: Sequence[Forfeit]  # by whom the game was broken off, and how; several only with simultaneous moves
    moves: Actions  # [length, N] or [length, N, D]; entries of players who were not acting are 0
    notes: Sequence[tuple[int, int, str]] = ()  # (step, player, note): what agents noted of their decisions


def play_episodes(
    venv: VecEnv,
    roster: Sequence[Agent],
    streams: Keys,
    seeds: Keys,
    seatings: Seating,
    *,
    opening_moves: int = 0,
    max_steps: int | None = None,
    forfeits: bool = False,
) -> Iterator[Episode]:
    """Play each of K episodes once and yield it when it ends: episode k from `seeds[k]`, seated as `seatings[k]`.

    `streams` [roster] are the agents' keys, `seeds` is [K], `seatings` [K, N]. The first `opening_moves` steps are
    random legal actions, drawn by the episode's seed alone: episodes of one seed have the same opening for all agents.
    Agents start with fresh hidden states where the opening ends; rewards of the opening count.
    An episode that has not ended after `max_steps` steps is cut there; `most_steps` of the game by default.
    With `forfeits`, an agent that raises or chooses an illegal action loses that game alone and the rest plays on, and
    what agents note of their decisions is kept; without, an agent's error is raised here.

    Raises UserError where an agent that plays all seats of a team would sit beside another.
    """
    if len(seeds) == 0:
        return
    _refuse_split_teams(roster, seatings)
    referee = Referee(venv.spec) if forfeits else None
    most = max_steps or most_steps(venv.spec)
    roster = [referee.watch(agent) for agent in roster] if referee else list(roster)
    opener = len(roster)
    roster, streams = [*roster, Random(venv.spec)], np.append(streams[:opener], np.uint64(OPENING))
    num_envs, num_players = venv.num_envs, venv.spec.num_players
    table = np.full(num_envs, EMPTY)  # [E] the episode that each environment plays
    queue = iter(range(len(seeds)))
    for e, k in zip(range(num_envs), queue, strict=False):
        table[e] = k
    seating = np.where(table[:, None] == EMPTY, EMPTY, seatings[table])
    carry = Carry(venv, roster, streams, np.where(table == EMPTY, np.uint64(0), seeds[table]))
    returns = np.zeros((num_envs, num_players))
    rounded = np.zeros(num_envs)  # [E] rounding bound of the payments
    started = np.zeros(num_envs, np.int64)  # [E] the index into `history` of an episode's first joint action
    history: list[Actions] = []
    notes: list[list[tuple[int, int, str]]] = [[] for _ in range(num_envs)]  # [E] of the open episodes
    while (table != EMPTY).any():
        at = len(history) - started  # [E] steps into the episodes
        opens = (at < opening_moves)[:, None] & (seating != EMPTY)
        carry.decisions[at == opening_moves] = 0
        actions, _ = decide(venv, roster, np.where(opens, opener, seating), carry)
        lost = referee.take(num_players) if referee else {}
        for e, player, note in referee.take_notes(num_players) if referee else ():
            notes[e].append((int(at[e]), player, note))
        history.append(actions)
        _advance(venv, actions, carry)
        paid = carry.timestep.reward.copy()
        paid[list(lost)] = 0  # the environment was stepped with a placeholder action, whose rewards do not count
        returns += paid
        rounded += rounding.of_payments(paid)
        ended = carry.timestep.last & (table != EMPTY)
        for e in lost:
            ended[e] = table[e] != EMPTY
        cut = (len(history) - started >= most) & (table != EMPTY) & ~ended
        ended |= cut
        if not ended.any():
            continue
        for e in np.flatnonzero(ended).tolist():
            moves = np.stack([joint[e] for joint in history[started[e] :]])
            truncated = bool(carry.timestep.truncated[e].any()) and e not in lost
            yield Episode(
                index=int(table[e]),
                returns=returns[e].copy(),
                rounding=float(rounded[e]) + rounding.of_sums(venv.spec, len(moves)),
                length=len(moves),
                truncated=truncated,
                cut=bool(cut[e]),
                forfeits=lost.get(e, ()),
                moves=moves,
                notes=notes[e],
            )
            notes[e] = []
            table[e] = next(queue, EMPTY)
        seating[ended] = np.where(table[ended, None] == EMPTY, EMPTY, seatings[table[ended]])
        carry.timestep = venv.reset(np.where(table == EMPTY, np.uint64(0), seeds[table]), ended)
        carry.decisions[ended] = 0
        returns[ended] = rounded[ended] = 0
        started[ended] = len(history)
        history, started = _forget(history, started, table)


def _refuse_split_teams(roster: Sequence[Agent], seatings: Seating) -> None:
    for entry, agent in enumerate(roster):
        held = seatings == entry
        if plays_whole_team(agent) and (held.any(1) & ~held.all(1)).any():
            raise UserError(
                "an agent that plays all seats of a team cannot sit beside others, and was seated there: let it play "
                "with itself alone, or train it with distil: true"
            )


def most_steps(spec: Spec) -> int:
    """Return the default number of steps after which an episode of an evaluation or a tournament is cut."""
    return spec.max_length or MOST_STEPS


def _forget(history: list[Actions], started: NDArray[np.int64], table: NDArray[np.int64]) -> tuple[Any, Any]:
    """Drop the joint actions that belong to no open episode."""
    open_since = int(started[table != EMPTY].min(initial=len(history)))
    return (history[open_since:], started - open_since) if open_since > 512 else (history, started)
