"""Cards: who looks sees its own, and the backs of the others."""

from itertools import pairwise

from games.drawing.drawing import drawing_of
from games.registry import load
from tests.games.drawing.seen import colours, shapes, words


def dealt(reference, cards, moves=()):
    """Return a game, and its position after a deal and moves by their numbers; a negative one is chance's."""
    game = load(f"openspiel:{reference}")
    state = game.initial_state()
    for card in cards:
        state.apply_chance(card)
    for move in moves:
        if state.acting():
            state.apply([move] * game.spec.num_players)
        else:
            state.apply_chance(move)
    return game, state


def backs(drawing):
    return colours(drawing, "rect")["fill-back stroke-edge"]


def test_kuhn():
    game, state = dealt("kuhn_poker", [2, 0], [0, 1])
    assert {"K", "J", "pass", "bet"} <= set(words(drawing_of(game, state))) and backs(drawing_of(game, state)) == 0
    own = drawing_of(game, state, 0)
    assert "K" in words(own) and "J" not in words(own) and backs(own) == 1
    chips = [shape["class"] for shape in shapes(own, "circle")]
    assert (chips.count("fill-p0 stroke-card"), chips.count("fill-p1 stroke-card")) == (1, 2)
    state.apply([1, 1])
    assert "call" in words(drawing_of(game, state)) and "player 0: +2, player 1: -2" in words(drawing_of(game, state))
    assert own.targets == {}  # a page shows buttons


def test_leduc():
    game, state = dealt("leduc_poker", [0, 5], [2, 1, 2, 1])  # J and K; raise, call; Q; call
    everything, own = drawing_of(game, state), drawing_of(game, state, 1)
    assert {"J", "Q", "K", "97 left"} <= set(words(everything)) and backs(everything) == 0
    assert {"Q", "K"} <= set(words(own)) and "J" not in words(own) and backs(own) == 1
    assert {"round 1: raise, call", "round 2: call"} <= set(words(own))


def test_hearts():
    game = load("openspiel:hearts")
    state = game.initial_state()
    state.apply_chance(1)  # pass to the left
    for card in range(52):
        state.apply_chance(card)
    (player,) = state.acting()
    everything, own = drawing_of(game, state), drawing_of(game, state, player)
    assert backs(everything) == 0 and backs(own) == 39 and len(own.targets) == 13
    assert not drawing_of(game, state, 1).targets
    faces = [word for word in words(own) if len(word) == 1]
    assert len(faces) == 13 and sorted(faces) == sorted("23456789TJQKA")  # of clubs: player 0 has each fourth card
    areas = sorted(own.targets.values(), key=lambda area: area.x)
    assert all(one.x + one.width <= other.x for one, other in pairwise(areas))
