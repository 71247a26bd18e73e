"""Replay: whole episodes come back as they were played, the newest ones, each step kept once."""

import hashlib

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.base import memory
from marl.base.memory import refuse_beyond_memory
from marl.learning.replay import PAGE, EpisodeReplay
from marl.learning.shards import join, split
from marl.rollout.agent import Random
from marl.rollout.loop import Carry, rollout

GAMES = [
    "foraging(players=2, food=1, size=5, horizon=9) | team_reward",  # ends early, or is cut
    "two_step",
    "openspiel:tiny_hanabi",  # turns
    "predator_prey(size=4, predators=3, prey=1, horizon=12)",
    "two_step | messy(phi=0.5, steps=2)",  # steps at which nobody acts
    "dec_tiger(horizon=3)",
]


def record(game, lengths, num_envs=3, seed=1):
    """Return a recording in pieces, with what one long recording says of the same steps."""

    def play(pieces):
        venv = make(game, num_envs)
        carry = Carry(venv, [Random(venv.spec)], np.array([7], np.uint64), fold(seed, np.arange(num_envs)))
        seating = np.zeros((num_envs, venv.spec.num_players), np.int64)
        return venv.spec, [rollout(venv, [Random(venv.spec)], seating, carry, length) for length in pieces]

    spec, pieces = play(lengths)
    return spec, pieces, play([sum(lengths)])[1][0]


def episodes_of(whole):
    """Return (environment, first, last) of the episodes that a recording holds from end to end."""
    over = (whole.terminated | whole.truncated).all(2)
    found = []
    for e in range(over.shape[1]):
        start = 0
        for t in np.flatnonzero(over[: len(whole.action), e]).tolist():
            found.append((t, e, start))
            start = t + 1
    return [(e, start, t) for t, e, start in sorted(found)]


def same(sample, k, whole, e, start, end):
    """Say whether episode k of a sample is that of environment e, from `start` to `end`."""
    length, where = end - start, slice(start, end + 1)
    if length >= len(sample.acting):
        return False
    for name in ("acting", "terminated", "truncated", "global_state"):
        if not (getattr(sample, name)[: length + 1, k] == getattr(whole, name)[where, e]).all():
            return False
    played = whole.acting[start:end, e]
    if not (sample.action[:length, k] == whole.action[start:end, e])[played].all():
        return False
    if not (sample.reward[:length, k] == whole.reward[start:end, e]).all():
        return False
    mine, theirs = sample.index[: length + 1, k], whole.index[where, e]
    seen = theirs >= 0
    return (
        ((mine >= 0) == seen).all()
        and (sample.obs[mine[seen]] == whole.obs[theirs[seen]]).all()
        and (sample.action_mask[mine[seen]] == whole.action_mask[theirs[seen]]).all()
        and not sample.acting[length + 1 :, k].any()
    )


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("lengths", [[60], [7] * 9, [1] * 40])
def test_a_sample_is_what_was_played(game, lengths):
    spec, pieces, whole = record(game, lengths)
    replay = EpisodeReplay(spec, 1000)
    for piece in pieces:
        replay.add(piece, {0})
    expected = episodes_of(whole)
    assert len(replay) == len(expected) > 2
    sample = replay.sample(40, 3)
    found = {
        next(i for i, (e, start, end) in enumerate(expected) if same(sample, k, whole, e, start, end))
        for k in range(40)
    }
    assert len(found) > 1 and sample.first[0].all() and not sample.first[1:].any()


def test_the_newest_episodes_are_kept_and_pages_used_again():
    spec, pieces, _ = record("two_step", [500] * 12, num_envs=8)
    replay, sizes = EpisodeReplay(spec, 50), []
    for piece in pieces:
        replay.add(piece, {0})
        sizes.append(replay.nbytes)
    assert len(replay) == 50
    assert sizes[-1] <= 3 * sizes[0]  # 4,000 rows a piece; those of the piece before are forgotten
    state = replay.state()
    assert len(state["episodes"]) == 50
    assert state["next"] - len(state["reward"]) == state["episodes"][:, 0].min() // PAGE * PAGE


def test_checkpoints_of_a_replay_share_their_pages():
    """Whatever is forgotten meanwhile; and of a run that goes on from the first, the second is the same."""
    spec, pieces, _ = record("two_step", [500] * 8, num_envs=8)
    replay, resumed = EpisodeReplay(spec, 5000), EpisodeReplay(spec, 5000)
    for piece in pieces[:6]:
        replay.add(piece, {0})
    _, (more,), _ = record("two_step", [500], num_envs=8, seed=9)

    def stored(replay):
        shards = {}

        def store(data):
            digest = hashlib.sha256(data).digest()
            shards[digest] = data
            return digest

        return split(replay.state(), store), shards

    state, before = stored(replay)
    resumed.load_state(join(state, before.__getitem__))
    ends = []
    for each in (replay, resumed):
        each.add(more, {0})
        ends.append(stored(each))
    (state, after), (state_of_resumed, after_of_resumed) = ends
    assert after == after_of_resumed and all((state[name] == state_of_resumed[name]).all() for name in state)
    new = [data for digest, data in after.items() if b'"reward"' in data and digest not in before]
    assert len(after) > 15 and len(new) <= 5  # 4,000 rows
    assert before.keys() - after.keys()


@pytest.mark.parametrize("game", GAMES)
def test_a_replay_that_was_saved_goes_on_as_if_nothing_had_been(game):
    spec, pieces, _ = record(game, [50, 50])
    _, more, _ = record(game, [50, 50], seed=9)  # the environments are opened afresh
    kept, saved = EpisodeReplay(spec, 12), EpisodeReplay(spec, 12)
    for piece in pieces:
        kept.add(piece, {0})
    saved.load_state({name: value.copy() for name, value in kept.state().items()})
    for piece in more:
        for replay in (kept, saved):
            replay.add(piece, {0})
        a, b = (vars(replay.sample(8, 5)) for replay in (kept, saved))
        assert all((np.asarray(a[name]) == np.asarray(b[name])).all() for name in a if name != "extras")
    a, b = kept.state(), saved.state()
    assert all((a[name] == b[name]).all() for name in a)


def test_a_new_opening_drops_what_was_open():
    spec, (piece,), whole = record("dec_tiger(horizon=3, resetting=true)", [10])
    replay = EpisodeReplay(spec, 100)
    replay.add(piece, {0})
    before = len(replay)
    replay.add(piece, {0})  # the same again: its first moments open episodes
    assert before == len(episodes_of(whole)) and len(replay) == 2 * before


def test_seats_of_others_are_part_of_the_game():
    spec, (piece,), _ = record("two_step", [20])
    replay = EpisodeReplay(spec, 100)
    piece.seating[:, :, 1] = 1
    replay.add(piece, {0})
    sample = replay.sample(4, 0)
    assert sample.acting[..., 0].any() and not sample.acting[..., 1].any()


def test_of_others_nothing_is_seen_at_a_cut():
    spec, (piece,), whole = record("spread(players=3, horizon=7)", [40])
    piece.seating[:, :, 1] = 1
    replay = EpisodeReplay(spec, 100)
    replay.add(piece, {0})
    sample = replay.sample(20, 0)
    ends = (sample.terminated | sample.truncated).all(2)
    assert len(replay) == len(episodes_of(whole)) and ends.sum() == 20
    assert (sample.index[ends][:, [0, 2]] >= 0).all() and (sample.index[..., 1] < 0).all()
    assert not sample.terminated[..., [0, 2]].any()


def test_memory_is_what_is_kept():
    """At most 1.2 of each real step's bytes, once it is more than a few pages."""
    spec, pieces, _ = record("foraging | team_reward", [1000] * 6, num_envs=32)
    replay = EpisodeReplay(spec, 5000)
    for piece in pieces:
        replay.add(piece, {0})
    step = sum(a.itemsize * int(np.prod(a.shape[1:])) for a in replay._fields.values())
    steps = int(replay.state()["episodes"][:, 2].sum())
    assert steps > 20 * PAGE and replay.nbytes <= 1.2 * steps * step


def test_more_than_memory_is_refused(monkeypatch):
    """What is kept counts twice, and a little: a checkpoint gathers it."""
    spec = make("two_step", 1).spec
    held = EpisodeReplay(spec, 1)
    held._allocate(PAGE)
    episode = held.nbytes / PAGE * (spec.max_length + 1)
    monkeypatch.setattr(memory, "physical_memory", lambda: 2 * 100 * episode)
    with pytest.raises(
        UserError, match=r"100 episodes of 'two_step' take up to .*: set replay_episodes to 76 or fewer"
    ):
        EpisodeReplay(spec, 100)
    EpisodeReplay(spec, 95)


def test_a_refusal_says_what_would_fit(monkeypatch):
    monkeypatch.setattr(memory, "physical_memory", lambda: 2**33)
    with pytest.raises(UserError) as caught:
        refuse_beyond_memory(1000, "things", 2**23, 2, "things_kept")
    assert str(caught.value) == (
        "1,000 things take up to 15.6 GiB, and this machine has 8.0: set things_kept to 409 or fewer"
    )
    refuse_beyond_memory(512, "things", 2**23, 2, "things_kept")
    with pytest.raises(UserError, match="not one of them is sure to fit: choose a smaller game"):
        refuse_beyond_memory(2, "things", 2**33, 2, "things_kept")


@pytest.mark.parametrize("game", GAMES)
def test_steps_come_back_as_they_were_played(game):
    """Each with its successor, of all episodes equally often."""
    spec, pieces, whole = record(game, [40, 40])
    replay = EpisodeReplay(spec, 1000)
    for piece in pieces:
        replay.add(piece, {0})
    played = [(e, t) for e, start, end in episodes_of(whole) for t in range(start, end)]
    assert replay.num_steps == len(played)
    sample, found = replay.sample_steps(400, 3), set()
    for k in range(400):
        step = [(e, t) for e, t in played if same(sample, k, whole, e, t, t + 1)]
        assert step
        found |= set(step)
    assert len(found) > 0.7 * len(played)
