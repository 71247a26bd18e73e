"""Every agent that can be asked for its policy draws by it; the others say that they have none."""

import numpy as np
import pytest
from scipy.stats import chi2

from games import plugins
from games.errors import RunFailed
from games.keys import fold
from games.registry import make
from marl.agents.built_in import BUILT_IN, CHAT
from marl.agents.load import load_entrant
from marl.learning.registry import algorithm
from marl.rollout.agent import Member, Random, log_probs_of, policy_of, value_of
from marl.rollout.referee import Answerable, Trusted
from marl.rollout.types import View
from tests.bots import Drawn, Second
from tests.marl.views import BOX, TTT, view

DILEMMA = "matrix(game=prisoners_dilemma, steps=5, memory=true)"
EPISODE = "matrix(game=prisoners_dilemma, steps=5, memory=true, truncate=true)"
SEARCH = {"simulations": 3, "hidden": [8]}
PAIR = {"actor_hidden": [8], "actor_memory": 4, "critic_hidden": [8], "critic_memory": 4, "epsilon": 0.3}
TEAM = {"hidden": 8, "epsilon_start": 0.3}
# The game and the settings of each registered algorithm.
LEARNERS = {
    "ippo": ("openspiel:leduc_poker", {"hidden": [8]}),
    "mappo": ("openspiel:leduc_poker", {"hidden": [8], "recurrent": True, "hidden_size": 8}),
    "happo": ("spread | team_reward", {"hidden": [8]}),
    "conditional_mappo": ("spread | team_reward", {"hidden": [8], "distil": True}),
    "iql": ("openspiel:tiny_hanabi", TEAM),
    "vdn": ("openspiel:tiny_hanabi", TEAM),
    "qmix": ("spread | team_reward", TEAM),
    "concaveq": ("spread | team_reward", TEAM),
    "aerial": ("spread | team_reward", TEAM),
    "naive": (EPISODE, PAIR),
    "loqa": (EPISODE, PAIR),
    "lola": (EPISODE, PAIR),
    "versus": (EPISODE, {"learners": [{"name": "naive"} | PAIR, {"name": "naive"} | PAIR]}),
    "minimax_dqn": ("openspiel:goofspiel(num_cards=4)", {"hidden": [8], "iterations": 10, "optimism": 0.1}),
    "alphazero": ("openspiel:tic_tac_toe", SEARCH),
    "muzero": ("openspiel:tic_tac_toe", SEARCH),
}
GAME_OF = {
    "tit_for_tat": (DILEMMA,),
    "grim_trigger": (DILEMMA,),
    "always_cooperate": (DILEMMA, "coin_game"),
    "always_defect": (DILEMMA, "coin_game"),
    "constant": (DILEMMA, "openspiel:leduc_poker"),
    "max_damage": ("battle",),
    "best_switch": ("battle",),
    "first_consistent": ("mastermind",),
    "random_consistent": ("mastermind(pegs=2, colours=3)",),
}
DRAWS_ITS_SEARCHES = ("mcts", "uct")  # searches with random playouts
KEYS = 600  # decisions of a chi-square test
UNLIKELY = 1e-6  # the probability with which one fails by chance; its keys are fixed


def learner(name, seed=5):
    """Build a learner with its settings in LEARNERS."""
    game, settings = LEARNERS[name]
    kind = algorithm(name)
    config = kind.Config(**settings)
    return kind, config, kind(config, make(game, 1).spec, key=seed, total_steps=1000, device="cpu")


def loaded(name, **options):
    """Load an agent whose weights are far from the initial ones, which are nearly uniform."""
    kind, config, made = learner(name)
    rng = np.random.default_rng(1)
    state = {
        key: tensor + tensor.new_tensor(rng.normal(0, 0.5, tensor.shape)) if tensor.is_floating_point() else tensor
        for key, tensor in made.agent_state().items()
    }
    return kind.load_agent(config, made.spec, state, device="cpu", **options)


def asked(agent, game, decisions=3, rows=6):
    """Play a game with an agent in all seats; yield views [rows] of it and the hidden states there."""
    venv = make(game, rows)
    timestep = venv.reset(fold(3, np.arange(rows)))
    hidden = agent.initial_hidden(rows * venv.spec.num_players)
    for step in range(decisions):
        env, player = np.nonzero(timestep.acting)
        if len(env) < rows:  # games are over
            return
        keys = fold(fold(timestep.seed[env], player), step)
        view = View.at(venv, timestep, env, player, keys, first=np.full(len(env), step == 0))
        mine = None if hidden is None else hidden[view.row]
        yield view, mine
        decision, after = agent.act(view, mine)
        if hidden is not None:
            hidden[view.row] = after
        actions = np.zeros((rows, venv.spec.num_players), np.int64)
        actions[env, player] = decision.action
        timestep = venv.step(actions)


def repeated(view, hidden, row, keys):
    """Return a row of a view, once for each of `keys`."""
    rows = np.full(len(keys), row)
    states = None if view.states is None else lambda: [view.states()[row].clone() for _ in rows]
    arrays = (view.obs[rows], view.action_mask[rows], view.player[rows], view.row[rows], view.first[rows])
    return View(*arrays, keys, states), None if hidden is None else hidden[rows]


def same(some, others):
    return (some is None and others is None) or np.array_equal(some, others)


def check(agent, game, alone=True, keys=KEYS):
    """Check `policy` against `act`: support, sums, hidden states, independence of the batch, and frequencies."""
    policy = policy_of(agent)
    for step, (seen, hidden) in enumerate(asked(agent, game)):
        log_probs, after = policy(seen, hidden)
        assert log_probs.dtype == np.float32 and log_probs.shape == seen.action_mask.shape
        assert (log_probs[~seen.action_mask] == -np.inf).all() and not np.isnan(log_probs).any()
        np.testing.assert_allclose(np.exp(log_probs.astype(float)).sum(1), 1, atol=1e-6)
        assert same(after, agent.act(seen, hidden)[1])
        if alone:
            one, _ = policy(seen.take(1), None if hidden is None else hidden[1:2])
            assert np.array_equal(one[0], log_probs[1])
        row = step % len(seen)
        many, theirs = repeated(seen, hidden, row, fold(step, np.arange(keys)))
        count = np.bincount(agent.act(many, theirs)[0].action, minlength=seen.action_mask.shape[1])
        expected = keys * np.exp(log_probs[row].astype(float))
        assert not count[expected == 0].any()
        some = expected > 0
        statistic = ((count - expected)[some] ** 2 / expected[some]).sum()
        assert statistic <= chi2.ppf(1 - UNLIKELY, max(1, some.sum() - 1)), (count, expected)


def test_every_agent_has_its_place_here():
    assert set(BUILT_IN) == {"random", *DRAWS_ITS_SEARCHES, *GAME_OF, CHAT}  # CHAT: tests/marl/agents/chat
    assert set(LEARNERS) == {name for name in plugins.names(plugins.ALGORITHMS) if name in LEARNERS}
    ours = {
        name
        for name in plugins.names(plugins.ALGORITHMS)
        if "marl" in str(plugins.entry_point(plugins.ALGORITHMS, name))
    }
    # best_response is not trained (tests/marl/algorithms/test_tabular.py), and maddpg has no table of probabilities.
    assert ours == {*LEARNERS, "best_response", "maddpg"}


@pytest.mark.parametrize("game", ["openspiel:leduc_poker", "openspiel:tic_tac_toe", "spread"])
def test_random(game):
    check(Random(make(game, 1).spec), game)


@pytest.mark.parametrize(("name", "game"), [(name, game) for name, games in GAME_OF.items() for game in games])
def test_scripted_agents(name, game):
    check(load_entrant(name, make(game, 1).spec).agent, game)


@pytest.mark.parametrize("name", [*LEARNERS])
def test_what_a_learner_trained(name):
    game = LEARNERS[name][0]
    check(loaded(name), game)
    for agent in learner(name)[2].actors():
        # In training, searches draw noise, and the players of a whole team see each other's draws.
        if name not in ("alphazero", "muzero", "conditional_mappo"):
            check(agent, game, alone=not isinstance(agent, Member))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ippo", {"greedy": True}),
        ("loqa", {"greedy": True}),
        ("alphazero", {"search": False}),
        ("alphazero", {"search": False, "greedy": True}),
        ("alphazero", {"sampled_moves": 2}),
        ("alphazero", {"reuse": True}),
        ("muzero", {"search": False}),
        ("muzero", {"sampled_moves": 1}),
    ],
)
def test_options_of_a_checkpoint(name, options):
    agent = loaded(name, **options)
    if "reuse" in options:  # the subtrees that its hidden states hold are never equal
        seen, hidden = next(asked(agent, LEARNERS[name][0]))
        log_probs, _ = policy_of(agent)(seen, hidden)
        assert (log_probs.argmax(1) == agent.act(seen, hidden)[0].action).all() and (log_probs.max(1) == 0).all()
        return
    check(agent, LEARNERS[name][0])


def test_who_has_none():
    for name in DRAWS_ITS_SEARCHES:
        assert policy_of(load_entrant(name, TTT).agent) is None
    for name in ("alphazero", "muzero", "conditional_mappo"):
        for actor in learner(name)[2].actors():
            assert policy_of(actor) is None
    assert policy_of(Random(BOX)) is None
    maddpg = algorithm("maddpg")
    assert policy_of(maddpg(maddpg.Config(), BOX, key=1, total_steps=10, device="cpu").agent()) is None
    chance = "openspiel:pig"
    kind, spec = algorithm("alphazero"), make(chance, 1).spec
    made = kind(kind.Config(**SEARCH), spec, key=1, total_steps=10, device="cpu")
    assert policy_of(made.agent()) is None  # a search of it draws the dice


@pytest.mark.parametrize("name", ["ippo", "alphazero", "muzero"])
def test_values(name):
    agent = loaded(name)
    for seen, hidden in asked(agent, LEARNERS[name][0]):
        values = value_of(agent)(seen, hidden)
        assert values.shape == (len(seen),) and values.dtype == np.float32 and np.isfinite(values).all()
        assert value_of(agent)(seen.take(1), None if hidden is None else hidden[1:2])[0] == values[1]


def test_a_search_values_a_position_for_its_player():
    """X has two in a row and is to move: its search is sure of the win, and O, to move, of its loss."""
    spec = TTT
    agent = load_entrant("uct(simulations=200)", spec).agent
    game = make(spec.name, 1)
    for moves, worth in (((0, 3, 1, 4), 1), ((0, 8, 2, 1, 6), -1)):  # X: 0 and 1; then X: 0, 2, 6 forks
        timestep = game.reset(np.zeros(1, np.uint64))
        for move in moves:
            timestep = game.step(np.full((1, 2), move))
        env, player = np.nonzero(timestep.acting)
        seen = View.at(game, timestep, env, player, fold(1, env), first=np.zeros(1, bool))
        assert value_of(agent)(seen, None)[0] == pytest.approx(worth, abs=0.05)
    assert value_of(load_entrant("uct", make("openspiel:kuhn_poker", 1).spec).agent) is None


@pytest.mark.parametrize("wrap", [lambda agent: Answerable(agent, "x", TTT), lambda agent: Trusted(agent, "x")])
def test_wrappers_forward(wrap):
    seen = view(3, np.arange(9) < 4)
    inner = Random(TTT)
    wrapped = wrap(inner)
    assert np.array_equal(policy_of(wrapped)(seen, None)[0], policy_of(inner)(seen, None)[0])
    assert value_of(wrapped) is None
    assert policy_of(wrap(load_entrant("mcts", TTT).agent)) is None


class Says(Random):
    """Answer with whatever a test wants."""

    def __init__(self, answer):
        super().__init__(TTT)
        self.policy = lambda view, hidden: answer(view)
        self.value = self.policy

    policy = None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda view: 1 / 0, "raised ZeroDivisionError: division by zero, when asked for its policy, its value or an "),
        (lambda view: (np.zeros((2, 2)), None), r"expected log-probabilities of shape \(3, 9\), got \(2, 2\)"),
        (lambda view: (np.zeros((3, 9)), None), "expected probabilities that sum to 1, got 9"),
        (lambda view: (np.full((3, 9), np.nan), None), "expected probabilities that sum to 1, got nan"),
        (lambda view: (log_probs_of(np.ones((3, 9))), None), "expected log-probabilities of -inf at illegal actions"),
    ],
)
def test_an_answer_that_is_no_policy_ends_the_run(answer, said):
    asked = policy_of(Answerable(Says(answer), "x", TTT))
    with pytest.raises(RunFailed, match=said) as failed:
        asked(view(3, np.arange(9) < 4), None)
    assert str(failed.value).startswith("the agent 'x' raised ") and "\n" not in str(failed.value)


def test_an_answer_that_is_no_value_ends_the_run():
    for answer in (np.zeros(2), np.array([1, np.inf, 2])):
        asked = value_of(Answerable(Says(lambda view, answer=answer: answer), "x", TTT))
        with pytest.raises(RunFailed, match="expected 3 finite values"):
            asked(view(3), None)


def test_a_foreign_agent_is_asked_in_its_process():
    agent, plain = (load_entrant(f"tests.bots:{name}", TTT).agent for name in ("Drawn", "Second"))
    try:
        check(agent, TTT.name, keys=60)
        seen = view(3)
        assert value_of(agent)(seen, agent.initial_hidden(3)).tolist() == [0, 1, 0]
        assert np.array_equal(policy_of(plain)(seen, None)[0], policy_of(Second(TTT))(seen, None)[0])
        assert value_of(plain) is None and policy_of(Drawn(TTT)) is not None
    finally:
        agent.close()
        plain.close()
