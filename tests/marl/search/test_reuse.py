"""Trees that outlive their search: nothing is lost on the way, and a reference goes on from them alike."""

from functools import partial

import numpy as np
import pytest

from games.adapters.openspiel import load
from games.errors import UserError
from games.keys import fold, fold_one, uniform_one
from games.registry import make
from marl.agents.load import load_entrant
from marl.rollout.loop import play_episodes
from marl.search.agent import SearchAgent, UctAgent
from marl.search.models import ExactModel, exact
from marl.search.reuse import Subtree
from marl.search.search import Search
from marl.search.selection import Gumbel, Puct, Uct
from marl.search.tree import NONE, OF_EDGES, OF_NODES, Tree
from tests.marl.search import reference
from tests.marl.search.reference import Table
from tests.marl.search.test_search import GAMES, played, positions, search, take

SEATS = GAMES | {"mancala": {}}  # where a player may move twice


def replies(game, state, action, key):
    """Return the position at which who moves now moves next, after `action` and what `key` draws; None at an end."""
    state, player = state.clone(), state.acting()[0]
    state.apply([action] * game.spec.num_players)
    while not state.is_terminal() and state.acting() != (player,):
        key = fold_one(key, 1)
        take(game, state, uniform_one(key))
    return None if state.is_terminal() else state


def same(old, node, new, row):
    """Compare the trees below two nodes, field by field; return how many nodes there are."""
    for name in set(OF_NODES) - {"first"}:
        assert (getattr(old, name)[node] == getattr(new, name)[row]).all(), name
    count, edge, twin = int(old.count[node]), int(old.first[node]), int(new.first[row])
    for name in set(OF_EDGES) - {"child"}:
        assert (getattr(old, name)[edge : edge + count] == getattr(new, name)[twin : twin + count]).all(), name
    nodes = 1
    for k in range(count):
        child, other = int(old.child[edge + k]), int(new.child[twin + k])
        assert (child == NONE) == (other == NONE)
        nodes += same(old, child, new, other) if child != NONE else 0
    return nodes


@pytest.mark.parametrize("name", SEATS)
def test_grafted_trees_are_what_they_were(name):
    game = load(name, SEATS[name])
    made, _ = search(game, positions(game, 6), 60, rule=Uct(), solve=True, leaves=2)
    old = made.tree
    below = old.child[: old.num_edges][old.child[: old.num_edges] != NONE][:5]
    nodes, root = old.below(below)
    new = Tree(old.num_players)
    for once in range(2):  # the second time behind the first
        rows = new.graft(old, nodes)
        assert new.num_nodes == (once + 1) * len(nodes)
        for b, node in enumerate(below.tolist()):
            mine = rows[root == b]
            assert nodes[root == b][0] == node
            assert same(old, node, new, int(mine[0])) == len(mine)


@pytest.mark.parametrize("name", SEATS)
def test_going_on_is_what_a_reference_does(name):
    """A tree written with dictionaries goes on from its own node of the same position."""
    game = load(name, SEATS[name])
    spec, table, roots = game.spec, Table(game.spec), positions(game, 12)
    made, found = search(game, [root.clone() for root in roots], 120)
    left = made.keep(found.best)
    keys, nodes, later, before = fold(9, np.arange(12)), [], [], []
    for b, root in enumerate(roots):
        state = replies(game, root, int(found.best[b]), b)
        if state is None:
            continue
        whole = reference.search(root, table, spec.num_players, 120, spec.return_bounds, int(fold(7, b)[0]))
        after = whole.child[whole.actions.index(found.best[b])]
        nodes.append(equal(after, state))
        later.append(state)
        before.append(left[b])
    again = [node is not None for node in nodes]
    assert sum(again) > len(again) / 2
    made = Search(ExactModel(spec, table, list(later)), Puct(), bounds=spec.return_bounds)
    found = made.run(keys[: len(later)], np.full(len(later), 40), np.array(before))
    assert (found.simulations == 40).all()
    for b, (node, state) in enumerate(zip(nodes, later, strict=True)):
        if node is None:
            node = reference.make(state, table, spec.num_players)
            node.visits, node.total = 1, node.value.copy()
        for n in range(40):
            key = fold_one(fold_one(int(keys[b]), 1), 1 + n)
            reference.simulate(node, table, spec.num_players, *spec.return_bounds, key)
        width = int(found.real[b].sum())
        assert found.action[b, :width].tolist() == node.actions
        assert found.visits[b, :width].tolist() == node.taken
        np.testing.assert_allclose(found.value[b], node.total / node.visits, rtol=1e-12, atol=1e-12)


def equal(node, state):
    """Return the most visited node of a position among those at which its mover moves next, from this one on."""
    level = [node]
    while level:
        own = [n for n in level if n.mover == state.acting()[0]]
        matching = [n for n in own if n.state.key() == state.key()]
        if matching:
            return max(matching, key=lambda n: n.visits)
        level = [child for n in level if n not in own for child in n.child.values()]
    return None


def table_agent(spec, **settings):
    return SearchAgent(spec, partial(exact, spec, Table(spec)), Puct(), simulations=16, **settings)


def moves_of(agent, name, seeds, num_envs):
    """Return the moves of the games of these seeds, in which the agent has all seats."""
    venv = make(name, num_envs)
    seats = venv.spec.num_players
    play = play_episodes(venv, [agent], fold(2, np.zeros(1, int)), seeds, np.zeros((len(seeds), seats), int))
    return {episode.index: episode.moves.tolist() for episode in play}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tic_tac_toe", {"solve": True, "decided": True, "sampled": 3}),
        ("connect_four", {"leaves": 3, "sampled": 30}),
        ("pig(players=3,winscore=12,diceoutcomes=3,horizon=20)", {"solve": True, "sampled": 4}),
        ("mancala", {"leaves": 2, "sampled": 4}),
    ],
)
def test_a_game_does_not_depend_on_its_batch_mates(name, settings):
    name, seeds = f"openspiel:{name}", fold(4, np.arange(16))
    agent = table_agent(make(name, 1).spec, reuse=True, **settings)
    together = moves_of(agent, name, seeds, 16)
    for k in (0, 7, 15):
        assert moves_of(agent, name, seeds[k : k + 1], 1)[0] == together[k]
    few = moves_of(agent, name, seeds[:8], 3)  # a seat's next game begins afresh
    assert all(few[k] == together[k] for k in range(8))
    assert together != moves_of(table_agent(make(name, 1).spec, **settings), name, seeds, 16)


def test_uct_goes_on_where_it_stands():
    """The visits at its roots are those of the search and some more; in its first decision, none more."""
    venv = make("openspiel:connect_four", 16)
    agent, seen = UctAgent(venv.spec, simulations=60, solve=False, reuse=True), []
    begin = agent._searcher.begin

    def watched(view):
        made = begin(view)
        run = made.run
        made.run = lambda *given: seen.append((view.first.copy(), run(*given))) or seen[-1][1]
        return made

    agent._searcher.begin = watched
    list(play_episodes(venv, [agent], fold(0, np.zeros(1, int)), fold(1, np.arange(16)), np.zeros((16, 2), int)))
    visits = np.concatenate([found.visits.sum(1) for _, found in seen])
    first = np.concatenate([first for first, _ in seen])
    assert (visits[first] == 60).all() and (visits[~first] >= 60).all() and visits[~first].mean() > 62


def test_a_win_that_was_proven_is_played_without_a_search():
    game = load("tic_tac_toe", {})
    state, won = played(game, (0, 1, 4, 8)), []  # 3 and 6 threaten two lines at once
    made, found = search(game, [state.clone()], 500, rule=Uct(), solve=True, win=1.0)
    assert made.tree.proven[made.roots[0]] and found.value[0].tolist() == [1, -1]
    after = state.clone()
    after.apply([int(found.best[0])] * 2)
    for reply in after.legal_actions(1):
        later = after.clone()
        later.apply([reply] * 2)
        model = ExactModel(game.spec, Table(game.spec), [later])
        made_2 = Search(model, Uct(), bounds=(-1, 1), solve=True, win=1.0)
        known = made_2.run(fold(1, np.zeros(1, int)), np.array([500]), made.keep(found.best))
        assert known.simulations[0] == 0 and known.value[0].tolist() == [1, -1]
        later.apply([int(known.best[0])] * 2)
        won.append(later.is_terminal() and later.returns()[0] == 1)
    assert won == [True] * 4


def test_noise_stays_at_the_root_for_which_it_was_drawn():
    game = load("connect_four", {})
    noisy = Puct(noise=0.25)
    made, found = search(game, positions(game, 8), 100, rule=noisy)
    later = [replies(game, made.model.states[b], int(found.best[b]), b) for b in range(8)]
    model, keys = ExactModel(game.spec, Table(game.spec), list(later)), fold(3, np.arange(8))
    again = Search(model, noisy, bounds=(-1, 1))
    again.run(keys, np.full(8, 50), made.keep(found.best))
    tree = again.tree
    assert (again.roots >= 8).sum() > 4
    for node in np.flatnonzero(tree.evaluated[: tree.num_nodes] & (tree.mover[: tree.num_nodes] >= 0)).tolist():
        edges = slice(tree.first[node], tree.first[node] + tree.count[node])
        policy = np.exp(tree.logit[edges]) / np.exp(tree.logit[edges]).sum()
        if node in again.roots:
            key = int(fold(keys, 2)[again.roots.tolist().index(node)])
            drawn = np.random.default_rng(key).dirichlet(np.full(tree.count[node], 10 / tree.count[node]))
            policy = 0.75 * policy + 0.25 * drawn
        np.testing.assert_allclose(tree.prior[edges], policy, rtol=1e-12)


def test_a_position_that_is_not_there_begins_afresh():
    game = load("connect_four", {})
    made, found = search(game, [played(game, ()), played(game, (3, 3))], 50)
    elsewhere = [played(game, (0, 0, 1, 1)), played(game, (6, 6))]
    keys, budget, table = fold(3, np.arange(2)), np.full(2, 50), Table(game.spec)
    with_it, without = (
        Search(ExactModel(game.spec, table, list(elsewhere)), Puct(), bounds=(-1, 1)).run(keys, budget, before)
        for before in (made.keep(found.best), None)
    )
    assert (with_it.visits == without.visits).all() and (with_it.value == without.value).all()


def test_what_is_kept_is_the_part_below_the_move():
    game = load("tic_tac_toe", {})
    made, _ = search(game, [game.initial_state()], 200)
    [known] = made.keep(np.array([4]))
    assert isinstance(known, Subtree) and len(known.states) == known.tree.num_nodes < made.tree.num_nodes
    assert known.states[0].key() == played(game, (4,)).key()
    reply = int(known.tree.action[known.tree.taken[: known.tree.count[0]].argmax()])
    again = known.at(played(game, (4, reply)))
    assert again.states[0].key() == played(game, (4, reply)).key()
    assert again.tree.num_nodes < known.tree.num_nodes and again.tree.visits[0] == known.tree.taken.max()
    assert known.at(played(game, (reply, 4))) is None


def test_what_cannot_go_on_is_refused():
    for name in ("leduc_poker", "goofspiel(num_cards=3)"):
        with pytest.raises(UserError, match="reuse=true is for games of turns and perfect information, and"):
            load_entrant("uct(reuse=true)", make(f"openspiel:{name}", 1).spec)
    spec = make("openspiel:tic_tac_toe", 1).spec
    with pytest.raises(UserError, match=r"reuse=true starts from the visits.*leave it out"):
        SearchAgent(spec, partial(exact, spec, Table(spec)), Gumbel(), simulations=8, reuse=True)
