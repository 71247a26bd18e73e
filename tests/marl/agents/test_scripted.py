"""Scripted agents: payoffs by hand at the dilemmas, every step of a walk at the Coin Game, refusals in a sentence."""

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold, stream
from games.native.coin_game import MOVES
from games.registry import make
from marl.agents.load import load_entrant
from marl.agents.scripted import SCRIPTED, AlwaysCooperate, AlwaysDefect, GrimTrigger, TitForTat
from marl.rollout.loop import play_episodes
from marl.rollout.types import View

DILEMMA = "matrix(game=prisoners_dilemma, steps=50, memory=true, truncate=true)"
SEEN = {"start": 0, "CC": 1, "CD": 2, "DC": 3, "DD": 4}


def played(game, agents, seeds=4, num_envs=3):
    """Play two agents, by name; return their returns [seeds, 2], and every game's moves [length, 2]."""
    venv = make(game, num_envs)
    names = list(dict.fromkeys(agents))
    entrants = [load_entrant(name, venv.spec) for name in names]
    streams = np.array([entrant.stream(7) for entrant in entrants], np.uint64)
    seats = np.tile([names.index(name) for name in agents], (seeds, 1))
    found = play_episodes(venv, [entrant.agent for entrant in entrants], streams, fold(3, np.arange(seeds)), seats)
    found = sorted(found, key=lambda episode: episode.index)
    return np.stack([episode.returns for episode in found]), [episode.moves for episode in found]


def view(obs, key=0):
    """Make up the views of as many seats as there are observations."""
    rows = np.arange(len(obs))
    mask = np.ones((len(obs), 4), bool)
    return View(obs, mask, rows % 2, rows, rows < 0, fold(stream(key, "test"), rows))


def remembering(*places):
    return view(np.eye(5, dtype=np.float32)[[SEEN[place] for place in places]])


@pytest.mark.parametrize(
    ("agents", "payoffs"),
    [
        (("tit_for_tat", "tit_for_tat"), (-50, -50)),
        (("tit_for_tat", "always_defect"), (-3 - 49 * 2, 0 - 49 * 2)),  # exploited once
        (("always_cooperate", "always_defect"), (-150, 0)),
        (("always_defect", "always_defect"), (-100, -100)),
        (("grim_trigger", "tit_for_tat"), (-50, -50)),
        (("always_defect", "grim_trigger"), (0 - 49 * 2, -3 - 49 * 2)),
    ],
)
def test_the_prisoners_dilemma_by_hand(agents, payoffs):
    returns, _ = played(DILEMMA, agents)
    assert (returns == payoffs).all()


@pytest.mark.parametrize("game, punished", [("chicken", -1 - 49 * 10), ("stag_hunt", 0 + 49 * 2)])
def test_other_dilemmas_by_hand(game, punished):
    returns, _ = played(f"matrix(game={game}, steps=50, memory=true)", ("tit_for_tat", "always_defect"))
    assert (returns[:, 0] == punished).all()


def test_tit_for_tat_does_what_the_other_did():
    agent = TitForTat(make(DILEMMA, 1).spec)
    assert agent.act(remembering(*SEEN), None)[0].action.tolist() == [0, 0, 1, 0, 1]
    _, games = played(DILEMMA, ("tit_for_tat", "random"))
    for moves in games:
        assert moves[0, 0] == 0 and (moves[1:, 0] == moves[:-1, 1]).all() and set(moves[:, 1]) == {0, 1}


def test_grim_trigger_never_forgives():
    agent = GrimTrigger(make(DILEMMA, 1).spec)
    hidden = agent.initial_hidden(3)
    actions = []
    for places in (("start", "start", "start"), ("CC", "CD", "DC"), ("CC", "DC", "CC"), ("CD", "DC", "CC")):
        decision, hidden = agent.act(remembering(*places), hidden)
        actions.append(decision.action.tolist())
    assert actions == [[0, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0]]


def test_grim_trigger_begins_each_game_with_trust():
    """The rollout owns what it remembers: games are the same one after the other as side by side."""
    _, games = played(DILEMMA, ("grim_trigger", "random"), seeds=5, num_envs=1)
    for moves in games:
        betrayed = np.cumsum(moves[:, 1]) > 0
        assert moves[0, 0] == 0 and (moves[1:, 0] == betrayed[:-1]).all()
    _, beside = played(DILEMMA, ("grim_trigger", "random"), seeds=5, num_envs=5)
    assert all((one == other).all() for one, other in zip(games, beside, strict=True))


def test_payoffs_of_ones_own_are_taken_at_their_word():
    game = "matrix(payoffs=[[[3, 0], [5, 1]], [[3, 5], [0, 1]]], steps=10, memory=true)"
    assert (played(game, ("tit_for_tat", "always_defect"))[0] == (0 + 9 * 1, 5 + 9 * 1)).all()


def test_two_who_cooperate_share_the_coins():
    """In the long run a coin is taken every 371/249 steps (a Markov chain over their distances)."""
    returns, _ = played("coin_game(horizon=2000)", ("always_cooperate", "always_cooperate"), seeds=20, num_envs=20)
    assert returns.mean() / 2000 == pytest.approx(249 / 742, abs=0.003)
    assert (np.abs(returns[:, 0] - returns[:, 1]) <= 1).all()  # the coins are theirs by turns, and nobody ever lost 2


def test_two_who_defect_gain_nothing():
    returns, _ = played("coin_game(horizon=2000)", ("always_defect", "always_defect"), seeds=20, num_envs=20)
    assert np.abs(returns.mean() / 2000) < 0.01


def test_who_defects_lives_off_who_cooperates():
    """It takes its own coins, and from the other more than the other still gets."""
    returns, _ = played("coin_game", ("always_defect", "always_cooperate"), seeds=50, num_envs=50)
    defector, cooperator = returns.mean(0) / 50
    assert defector > 0.5 and cooperator < -0.2


def boards(rows, height, width, own):
    """Draw positions: views [B, 4, height, width], and the cells [B, 2] of the player and of a coin elsewhere."""
    rng = np.random.default_rng(0)
    cells = np.stack([rng.permutation(height * width)[:2] for _ in range(rows)])
    obs = np.zeros((rows, 4, height * width), np.float32)
    obs[np.arange(rows), 0, cells[:, 0]] = 1
    obs[np.arange(rows), 1, rng.integers(0, height * width, rows)] = 1
    obs[np.arange(rows), 2 if own else 3, cells[:, 1]] = 1
    places = np.stack(np.unravel_index(cells, (height, width)), -1)  # [B, (player, coin), (row, column)]
    return obs.reshape(rows, 4, height, width), places


def distance(one, other, size):
    gap = np.abs(one - other)
    return np.minimum(gap, size - gap).sum(-1)


@pytest.mark.parametrize("size", [(3, 3), (4, 5), (2, 2), (1, 3)])
@pytest.mark.parametrize("kind, own", [(AlwaysCooperate, True), (AlwaysDefect, True), (AlwaysDefect, False)])
def test_a_walk_to_the_coin_is_a_shortest_one(size, kind, own):
    obs, places = boards(300, *size, own)
    agent = kind(make(f"coin_game(height={size[0]}, width={size[1]})", 1).spec)
    after = (places[:, 0] + MOVES[agent.act(view(obs), None)[0].action]) % size
    before = distance(*places.swapaxes(0, 1), size)
    assert (distance(after, places[:, 1], size) == before - 1).all()


@pytest.mark.parametrize("size", [(3, 3), (4, 5), (2, 2), (1, 3)])
def test_who_cooperates_never_steps_on_the_others_coin(size):
    obs, places = boards(300, *size, own=False)
    agent = AlwaysCooperate(make(f"coin_game(height={size[0]}, width={size[1]})", 1).spec)
    actions = agent.act(view(obs), None)[0].action
    after = (places[:, 0] + MOVES[actions]) % size
    assert (after != places[:, 1]).any(1).all() and set(actions) == {0, 1, 2, 3}  # and otherwise goes anywhere


def test_ties_are_broken_by_the_key_alone():
    obs, _ = boards(200, 5, 5, own=True)
    agent = AlwaysDefect(make("coin_game(height=5, width=5)", 1).spec)
    whole = agent.act(view(obs), None)[0].action
    assert whole.tolist() == [agent.act(view(obs).take(i), None)[0].action[0] for i in range(200)]
    assert whole.tolist() != agent.act(view(obs, key=1), None)[0].action.tolist()


def test_a_wrapper_that_leaves_views_alone_is_none_of_its_business():
    assert played("coin_game | team_reward", ("always_cooperate", "always_defect"))[0].shape == (4, 2)
    assert (played(f"{DILEMMA} | team_reward", ("tit_for_tat", "tit_for_tat"))[0] == -50).all()


@pytest.mark.parametrize("game", ["coin_game | messy", f"{DILEMMA} | messy"])
def test_views_of_zeros_are_no_error(game):
    agents = ["always_cooperate", "tit_for_tat" if "matrix" in game else "always_defect"]
    assert np.isfinite(played(game, agents)[0]).all()


def test_each_is_another_agent():
    entrants = [load_entrant(name, make(DILEMMA, 1).spec) for name in SCRIPTED]
    assert len({entrant.digest for entrant in entrants}) == len(SCRIPTED) and [
        entrant.name for entrant in entrants
    ] == [*SCRIPTED]


def test_constant_chooses_its_action_where_it_is_legal_and_any_elsewhere():
    _, games = played("openspiel:tic_tac_toe", ("constant(action=4)", "constant(action=4)"), seeds=8)
    assert {moves[0, 0] for moves in games} == {4}
    assert len({moves[1, 1] for moves in games}) > 2


@pytest.mark.parametrize(
    ("agent", "game", "said"),
    [
        ("constant(action=9)", "openspiel:tic_tac_toe", "which has 9, got action=9; choose one of 0 to 8"),
        ("tit_for_tat", "matrix(game=prisoners_dilemma, steps=50)", "shape (1,) instead of (5,); add memory=true"),
        ("grim_trigger", "matrix(game=chicken)", "grim_trigger must see what was played last"),
        ("tit_for_tat", f"{DILEMMA} | agent_id", "no wrapper that changes views"),
        ("tit_for_tat", "coin_game", "tit_for_tat plays matrix games of two actions (prisoners_dilemma, chicken"),
        ("grim_trigger", "openspiel:tic_tac_toe", "got 'openspiel:tic_tac_toe'; use another agent"),
        ("tit_for_tat", "matrix(game=matching_pennies, steps=9, memory=true)", "got 'matrix(matching_pennies)'"),
        ("tit_for_tat", "matrix(team=[[1, 0, 0], [0, 2, 0], [0, 0, 3]], memory=true)", "got 'matrix'"),
        ("always_defect", "matrix(game=climbing)", "plays coin_game and matrix games of two actions"),
        ("always_cooperate", "spread", "got 'spread'"),
        ("always_cooperate", "coin_game | agent_id", "planes [4, height, width], and views of 'coin_game | agent_id'"),
        ("tit_for_tat(x=1)", DILEMMA, "takes no arguments, got 'x'"),
    ],
)
def test_a_game_that_does_not_fit_is_refused_in_a_sentence(agent, game, said):
    with pytest.raises(UserError) as caught:
        load_entrant(agent, make(game, 1).spec)
    assert said in str(caught.value) and "\n" not in str(caught.value)
