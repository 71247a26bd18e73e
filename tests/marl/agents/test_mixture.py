"""Mixtures: a member for each episode, drawn by seat; a population's files, and strangers' ones."""

import json
import shutil

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold, stream
from games.registry import make
from marl.agents import load
from marl.agents.load import game_of, load_entrant, load_entrants, load_panel
from marl.agents.mixture import Mixture
from marl.agents.references import refuse_code
from marl.cli.app import main
from marl.evaluation.exploitability import nash_conv
from marl.evaluation.tabular import tensors_of
from marl.evaluation.tree import Tree, best_responses, reach_weighted
from marl.rollout.agent import Random, Stateless
from marl.rollout.loop import play_episodes
from marl.rollout.types import AgentFailed, Decision, View
from tests.marl.algorithms.test_tabular import write

KUHN = "openspiel:kuhn_poker"
REPEATED = "matrix(game=prisoners_dilemma, steps=5, memory=true)"


@pytest.fixture(scope="module")
def tree():
    return Tree(make(KUHN, 1).spec, "this test")


class Always(Stateless):
    """Always the same action, if it may."""

    def __init__(self, action):
        self.action = action

    def act(self, view, hidden):
        return Decision(np.full(len(view), self.action)), None


class Counting(Always):
    """Count its decisions of the episode; hidden [B]: how many."""

    def initial_hidden(self, rows):
        return np.zeros(rows, np.int64)

    def act(self, view, hidden):
        assert (view.first == (hidden == 0)).all()
        return Decision(np.where(hidden % 2 == 0, self.action, 1 - self.action)), hidden + 1


def moves(agents, episodes, num_envs, weights=None):
    """Play the repeated dilemma with a mixture in all seats; return the moves [K, steps, N]."""
    venv = make(REPEATED, num_envs)
    weights = np.ones((len(agents), 2)) if weights is None else np.array(weights, float)
    loaded: list[int] = []

    def loader(index):
        return lambda: (loaded.append(index), agents[index])[1]

    mixture = Mixture(weights, [loader(index) for index in range(len(agents))], venv.spec)
    seeds, seatings = fold(3, np.arange(episodes)), np.zeros((episodes, 2), np.int64)
    played = play_episodes(venv, [mixture], np.array([stream(0, "a")], np.uint64), seeds, seatings)
    found = sorted(played, key=lambda episode: episode.index)
    return np.stack([episode.moves for episode in found]), loaded


def test_a_member_plays_an_episode_to_its_end():
    """Each seat draws its own; an agent with hidden state begins afresh in every episode."""
    played, loaded = moves([Always(0), Always(1), Counting(1)], 400, 7)
    patterns = {(0,) * 5, (1,) * 5, (1, 0, 1, 0, 1)}
    for seat in range(2):
        rows = [tuple(row) for row in played[:, :, seat].tolist()]
        assert set(rows) == patterns and min(rows.count(each) for each in patterns) > 80
    assert len({(tuple(a), tuple(b)) for a, b in played.swapaxes(1, 2).tolist()}) == 9
    assert sorted(loaded) == [0, 1, 2]  # once each


@pytest.mark.parametrize("num_envs", [1, 16])
def test_the_draw_does_not_depend_on_the_batch(num_envs):
    agents = [Always(0), Counting(0), Always(1)]
    assert np.array_equal(moves(agents, 40, 7)[0], moves(agents, 40, num_envs)[0])


def test_weights_are_by_seat():
    played, loaded = moves([Always(0), Always(1), Counting(0)], 2000, 64, [[3, 0], [1, 5], [0, 0]])
    assert np.abs(played[:, 0, 0].mean() - 1 / 4) < 0.04 and played[:, :, 1].all()
    assert sorted(loaded) == [0, 1]  # the third was never drawn


def test_searching_members_see_their_own_positions():
    venv = make("openspiel:tic_tac_toe", 4)
    agents = [load_entrant("uct(simulations=4)", venv.spec).agent, Random(venv.spec)]
    mixture = Mixture(np.ones((2, 2)), [lambda a=a: a for a in agents], venv.spec)
    seeds, seatings = fold(3, np.arange(12)), np.zeros((12, 2), np.int64)
    keys = np.array([5], np.uint64)
    played = sorted(play_episodes(venv, [mixture], keys, seeds, seatings), key=lambda each: each.index)
    alone = list(play_episodes(make("openspiel:tic_tac_toe", 1), [mixture], keys, seeds, seatings))
    assert all(np.array_equal(one.moves, other.moves) for one, other in zip(played, alone, strict=True))


def population(folder, tree, policies, weights, **changes):
    """Write a population of tables, and return the digests."""
    listed, digests = [], []
    for round, policy in enumerate(policies):
        place = f"members/m{round}/checkpoints/000000000"
        digests.append(write(folder / place, tree, tensors_of(tree, policy)))
        listed.append({"id": f"m{round}", "checkpoint": place, "digest": digests[-1], "round": round})
    mixture = {"weights": dict(zip(digests, weights, strict=True)), "round": len(policies)}
    data = {"format": 2, "game": KUHN, "members": listed, "mixture": mixture} | changes
    (folder / "population.json").write_text(json.dumps(data))
    return digests


@pytest.fixture
def folder(tree, tmp_path, monkeypatch):
    """A population of three tables, whose mixture has two of them."""
    monkeypatch.chdir(tmp_path)
    passes = np.eye(2)[np.zeros(len(tree.known), int)]
    policies = [passes, tree.uniform(), best_responses(tree, passes)[0]]
    path = tmp_path / "runs" / "a=(b), c"
    path.mkdir(parents=True)
    population(path, tree, policies, [[0.5, 0.25], [0.5, 0.75], [0, 0]])
    return path


def test_a_population_stands_for_its_newest_members_all_or_its_mixture(folder, tree):
    spec = tree.spec
    assert list(load_entrants(str(folder), spec)) == ["m2"]
    assert list(load_entrants(f"{folder}(frozen=true)", spec)) == ["m0", "m1", "m2"]
    assert list(load_panel([f"{folder}(frozen=true)"], spec)) == [f"{folder}(frozen=true)/m{k}" for k in range(3)]
    ((name, mixture),) = load_entrants(f"mixture({folder})", spec).items()
    assert name == mixture.name == "mixture(a=(b), c)" and not mixture.foreign
    assert load_entrant(mixture.reference, spec).digest == mixture.digest
    assert game_of(str(folder)) == game_of(f"mixture({folder})") == KUHN
    with pytest.raises(UserError, match="to be true or false, got 3"):
        load_entrants(f"{folder}(frozen=3)", spec)


def test_a_population_in_the_place_of_one_agent_is_told_from_a_run(folder, tree):
    with pytest.raises(UserError, match=r"which is a population; name a member, such as .*members/m2/.*mixture\("):
        load_entrant(str(folder), tree.spec)


def test_its_identity_is_of_all_that_it_holds(folder, tree, tmp_path):
    def digest(place=folder):
        return load_entrant(f"mixture({place})", tree.spec).digest

    before, path = digest(), folder / "population.json"
    shutil.copytree(folder, tmp_path / "moved")
    assert digest(tmp_path / "moved") == before
    held = json.loads(path.read_text())
    weights = held["mixture"]["weights"]
    held["members"].reverse()
    held["mixture"]["weights"] = dict(reversed(weights.items()))
    path.write_text(json.dumps(held))
    assert digest() == before  # in another order
    held["mixture"]["weights"][held["members"][0]["digest"]] = [0.5, 0]
    path.write_text(json.dumps(held))
    assert digest() != before


def test_its_nash_conv_is_exact_and_of_the_reach_weighted_policy(folder, tree, capsys):
    agent = load_entrant(f"mixture({folder})", tree.spec).agent
    found = nash_conv(agent, tree.spec, key=0, draws=2)
    passes = np.eye(2)[np.zeros(len(tree.known), int)]
    mixed = reach_weighted(tree, [passes, tree.uniform()], [[0.5, 0.25], [0.5, 0.75]])
    worth = best_responses(tree, mixed)[1]
    assert found.draws == 0 and found.best_response == pytest.approx(worth, abs=1e-6)
    with pytest.raises(SystemExit) as left:
        main(["evaluate", f"mixture({folder})", "--policy-value", "--against", f"mixture({folder})", "--json"])
    printed = capsys.readouterr()
    assert left.value.code == 0 and json.loads(printed.out)["evaluations"][0]["value"] == found.value


def test_by_draws_where_a_member_tells_no_policy(folder, tree):
    """Its frequencies come near what is exact."""
    agent = load_entrant(f"mixture({folder})", tree.spec).agent
    exact = nash_conv(agent, tree.spec, key=0, draws=2)
    silent = Random(tree.spec)
    silent.__class__ = type("Silent", (Random,), {"policy": None})
    asked = Mixture(agent.weights, [lambda: agent.member(0), lambda: silent], tree.spec)
    if agent.weights[0].tolist() != [0.5, 0.25]:  # the members are in the order of their digests
        asked = Mixture(agent.weights, [lambda: silent, lambda: agent.member(1)], tree.spec)
    drawn = nash_conv(asked, tree.spec, key=0, draws=4000)
    assert drawn.draws == 4000 and drawn.nash_conv == pytest.approx(exact.nash_conv, abs=0.08)


def test_a_member_that_fails_at_some_rows_fails_at_these_rows_of_the_mixture():
    class Fails(Stateless):
        def act(self, view, hidden):
            failed = {0: AgentFailed("timeout", "took longer")} if len(view) > 1 else {}
            return Decision(view.action_mask.argmax(1), failed=failed, notes={len(view) - 1: "{}"}), None

    venv = make("openspiel:kuhn_poker", 9)
    timestep = venv.reset(np.arange(9, dtype=np.uint64))
    env, player = np.nonzero(timestep.acting)
    view = View.at(venv, timestep, env, player, fold(5, np.arange(9)), np.ones(9, bool))
    mixture = Mixture(np.ones((2, 2)), [Fails, lambda: Random(venv.spec)], venv.spec)
    decision, after = mixture.act(view, mixture.initial_hidden(9))
    rows = np.flatnonzero(after.member == 0)
    assert 1 < len(rows) < 9 and list(decision.failed) == [rows[0]] and list(decision.notes) == [rows[-1]]


CHAT = "chat(model=m, url=http://evil/v1, key=HOME)"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d, w: w.update({next(iter(w)): [-1, 1]}), "expected a number of at least 0, got -1"),
        (lambda d, w: w.update({next(iter(w)): [float("nan"), 1]}), "got nan"),
        (lambda d, w: w.update({"f" * 64: [1, 1]}), "has a weight of ffffffff..., which is no member"),
        (lambda d, w: [w.update({digest: [0, 1]}) for digest in w], "that sum to more than 0 in each seat"),
        (lambda d, w: w.update({next(iter(w)): [1]}), "as many seats of each member"),
        (lambda d, w: [w.update({digest: [1, 1, 1]}) for digest in w], "has weights for 3 seats"),
        (lambda d, w: d["members"][0].update(checkpoint="../../elsewhere"), "is not in the folder"),
        (lambda d, w: d["members"][0].update(checkpoint="members/gone"), "no checkpoint is at 'members/gone'"),
        (lambda d, w: d["members"][0].update(checkpoint=None, reference="os:system()"), "neither built in nor a"),
        (lambda d, w: d["members"][0].update(checkpoint=None, reference="mixture(runs)"), "neither built in nor a"),
        (lambda d, w: d["members"][0].update(checkpoint=None, reference=CHAT), "asks a server"),
        (lambda d, w: d["members"][0].update(checkpoint=None), "expected a checkpoint or a reference of 'm0'"),
        (lambda d, w: d["members"][0].update(checkpoint=d["members"][1]["checkpoint"]), "and it has"),
        (lambda d, w: d.pop("mixture"), "has no mixture: method: psro finds one"),
    ],
)
def test_damaged_ones_and_strangers_are_refused_in_one_sentence(folder, tree, change, sentence):
    path = folder / "population.json"
    data = json.loads(path.read_text())
    change(data, data["mixture"]["weights"])
    path.write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        load_entrant(f"mixture({folder})", tree.spec)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_member_that_is_built_in(folder, tree):
    path, random = folder / "population.json", load_entrant("random", tree.spec)
    data = json.loads(path.read_text())
    data["members"].append({"id": "start", "reference": "random", "digest": random.digest, "round": 3})
    data["mixture"]["weights"] = {random.digest: [1, 1]}
    path.write_text(json.dumps(data))
    assert load_entrants(str(folder), tree.spec)["start"].digest == random.digest
    assert game_of(str(folder)) == game_of(f"mixture({folder})") == KUHN  # which `random` does not know
    found = nash_conv(load_entrant(f"mixture({folder})", tree.spec).agent, tree.spec, key=0, draws=2)
    assert found.nash_conv == pytest.approx(11 / 12, abs=1e-6)


def test_what_is_no_population(tmp_path, tree):
    for text in ("mixture", "mixture()", f"mixture({tmp_path})", "mixture(mixture(random))"):
        with pytest.raises(UserError, match=r"expected mixture\(RUN\), with the folder of a population, got"):
            load_entrant(text, tree.spec)
    for text in ("mixture", "mixture()"):
        with pytest.raises(UserError, match=r"expected mixture\(RUN\), with the folder of a population, got"):
            game_of(text)
    for text in (f"mixture({tmp_path}(algorithm=os:system))", "evil:mixture", "evil:mixture(of=random)"):
        with pytest.raises(UserError, match="names code"):
            refuse_code([text], "opponents.agents", tmp_path)
    assert load.MIXTURE not in load.BUILT_IN
