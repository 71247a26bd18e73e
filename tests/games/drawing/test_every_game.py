"""What holds of every registered game: its drawings are whole, and a player's shows nothing that is hidden from it."""

from itertools import islice

import numpy as np
import pytest

from games import registry
from games.adapters.openspiel import EXAMPLES, names
from games.check import _walk
from games.drawing.drawing import drawing_of, drawing_of_frame
from games.drawing.faults import fault
from games.drawing.openspiel import DRAWERS
from games.errors import UserError
from games.keys import fold_one
from games.random_play import random_actions
from games.registry import load, make

# Environments without positions: our own, and one or two of each other source.
FRAMES = [
    *("coin_game", "dec_tiger", "foraging", "foraging(sight=2)", "foraging(grid=true, sight=2)", "predator_prey"),
    *(
        "spread",
        "two_step",
        "repeat_first",
        "mastermind",
        "battle",
        "tag",
        "matrix(game=climbing)",
        "matrix(game=chicken, memory=true, steps=3)",
    ),
    *("openspiel:tic_tac_toe", "openspiel:leduc_poker | agent_id", "openspiel:kuhn_poker | messy(steps=0)"),
    *("pettingzoo:mpe2.simple_spread_v3", "pettingzoo:classic.tictactoe_v3", "pettingzoo:classic.chess_v6"),
    *("gymnasium:gymnasium.CartPole-v1", "gymnasium:lbforaging.Foraging-5x5-2p-1f-v3"),
    *("vmas:navigation", "vmas:balance"),
]

MORE = (
    "kuhn_poker(players=3)",
    "leduc_poker(players=3)",
    "leduc_poker(suit_isomorphism=True)",
    "hearts(pass_cards=False)",
)


def with_positions():
    """Yield (reference, game) of every game with positions that can be made by its name alone."""
    for name in [*names(), *EXAMPLES]:
        try:
            yield name, load(f"openspiel:{name}")
        except UserError:  # of a kind that agents cannot play
            continue


def test_the_drawings_of_every_game_with_positions_are_whole():
    drawn = set()
    for name, game in with_positions():
        for state, _ in islice(_walk(game, 5), 0, 60, 6):
            legal = {player: set(state.legal_actions(player)) for player in state.acting()}
            for player in (None, *range(game.spec.num_players)):
                may = set().union(*legal.values()) if player is None else legal.get(player, set())
                drawing = drawing_of(game, state, player)
                assert fault(drawing, may) == "", (name, player, str(state))
                drawn.add(name)
    assert len(drawn) >= 100 and set(DRAWERS) <= drawn


def test_a_drawing_is_the_same_where_a_player_cannot_tell_positions_apart():
    """The hidden part of each position is drawn again, and who does not know it sees the same bytes."""
    tried, differing = set(), set()
    for name, game in with_positions():
        if game.spec.perfect_information or not game.spec.resamples:
            continue
        for key in (1, 2):
            for ply, (state, _) in enumerate(islice(_walk(game, key), 30)):
                for player in state.acting():
                    other = state.resample(player, fold_one(key, ply))
                    assert drawing_of(game, other, player) == drawing_of(game, state, player), (name, player)
                    tried.add(name)
                    if drawing_of(game, other) != drawing_of(game, state):
                        differing.add(name)
    assert {"kuhn_poker", "leduc_poker"} <= differing  # so there was something to give away
    assert len(tried) >= 10 and len(differing) >= 9


class OfOne:
    """A state of OpenSpiel's that tells what one player may know, and fails where anything else is asked."""

    def __init__(self, native, player):
        self._native, self._player = native, player

    def __getattr__(self, name):
        assert name in ("get_game", "current_player", "is_terminal", "returns", "action_to_string"), name
        return getattr(self._native, name)

    def information_state_string(self, player):
        assert player == self._player
        return self._native.information_state_string(player)

    def observation_string(self, player):
        assert player == self._player
        return self._native.observation_string(player)

    def legal_actions(self):
        assert self._native.current_player() == self._player
        return self._native.legal_actions()

    def __str__(self):
        raise AssertionError("the whole position was read")


def test_of_what_a_game_hides_a_player_is_drawn_its_own_information_alone():
    drawn = set()
    for name, game in [*with_positions(), *((more, load(f"openspiel:{more}")) for more in MORE)]:
        if game.spec.perfect_information:
            continue
        for key in (1, 2):
            for state, _ in islice(_walk(game, key), 0, 80, 5):
                for player in range(game.spec.num_players):
                    own = type(state)(game, OfOne(state.native, player))
                    assert drawing_of(game, own, player) == drawing_of(game, state, player), (name, player)
                    drawn.add(name)
    assert len(drawn) >= 40 and {"hearts", "kuhn_poker", "leduc_poker", *MORE} <= drawn


@pytest.mark.parametrize("reference", FRAMES)
def test_the_drawings_of_environments_are_whole(reference):
    venv = make(reference, 2)
    timestep = venv.reset(np.array([3, 4], np.uint64))
    for step in range(4):
        for player in (None, *range(venv.spec.num_players)):
            seen = None if player is None else timestep.obs[1, player]
            legal = timestep.action_mask[1].any(0) if player is None else timestep.action_mask[1, player]
            drawing = drawing_of_frame(venv, 1, player, seen)
            assert fault(drawing, np.flatnonzero(legal).tolist()) == "", player
        timestep = venv.step(random_actions(venv.spec, timestep, np.array([step, step])))


def test_every_plain_name_is_among_them():
    named = {reference.partition("(")[0] for reference in FRAMES}
    assert set(registry.names()) <= named


@pytest.mark.parametrize(
    "reference", ["foraging(sight=1)", "foraging(sight=1, grid=true)", "predator_prey(sight=1)", "dec_tiger"]
)
def test_of_an_environment_a_player_is_drawn_its_view_alone(reference):
    """Two environments are made to differ; where a player's views are the same, so are its drawings."""
    venv = make(reference, 64)
    timestep = venv.reset(np.arange(64, dtype=np.uint64))
    drawings, whole = {}, set()
    for env in range(64):
        view = timestep.obs[env, 0].tobytes()
        drawing = drawing_of_frame(venv, env, 0, timestep.obs[env, 0])
        assert drawings.setdefault(view, drawing) == drawing
        whole.add(drawing_of_frame(venv, env).svg)
    assert len(drawings) < len(whole)  # some saw the same at different positions
