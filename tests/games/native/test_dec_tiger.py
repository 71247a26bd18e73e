"""Dec-Tiger: its tables, its optimal values (best responses over its model, then played), its observations."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from games.check import check_game
from games.errors import UserError
from games.native.dec_tiger import HEARS, LEFT, LISTEN, PAYS, RIGHT, DecTiger
from games.registry import make
from tests.games.native.play import play

ACTIONS, DOORS = range(3), range(2)
# Who hears what [tiger, heard 0, heard 1]: after listening together, and after anything else.
LISTENED = np.array(
    [
        [[(HEARS if a == t else 1 - HEARS) * (HEARS if b == t else 1 - HEARS) for b in DOORS] for a in DOORS]
        for t in DOORS
    ]
)
NOTHING = np.full((2, 2, 2), 0.25)


def histories(length: int) -> list[tuple[int, ...]]:
    return list(product(DOORS, repeat=length))


class Model:
    """The joint distribution of tiger and histories, under player 1's policy; the first observation tells nothing.

    A policy maps a history of what was heard since the beginning to an action.
    """

    def __init__(self, horizon: int, resetting: bool) -> None:
        self.horizon, self.resetting = horizon, resetting

    def best_response(self, other: dict, own: int) -> tuple[float, dict]:
        """Return the value and the best policy of player `own` against the other's policy."""
        # The other's actions by the length of its history: [2^length], in the order of `histories`.
        acts = [np.array([other.get(h, LISTEN) for h in histories(length)]) for length in range(self.horizon + 1)]
        belief, policy = np.full((2, 2), 0.125), {}  # of the tiger and the other's history [tiger, 2^length]
        return sum(self._best(acts, own, mine, belief, policy) for mine in [(0,), (1,)]), policy

    def _best(self, acts: list, own: int, mine: tuple, belief: NDArray, policy: dict) -> float:
        """Return the (unnormalised) value of a history of one's own, with a belief over the tiger and the other's."""
        if len(mine) > self.horizon:
            return 0.0
        values, policies, theirs = [], [], acts[len(mine)]
        for action in ACTIONS:
            pays = PAYS[:, action, theirs] if own == 0 else PAYS[:, theirs, action]  # [tiger, 2^length]
            listened = (theirs == LISTEN) & (action == LISTEN)
            # After this step [tiger, heard, the other's history, what it heard].
            after = np.einsum("th,tmo->tmho", belief * listened, LISTENED)
            if self.resetting:
                after += 0.5 * np.einsum("h,tmo->tmho", (belief * ~listened).sum(0), NOTHING)
            value, below = float((belief * pays).sum()), {}
            if after.any():
                for heard in DOORS:
                    value += self._best(acts, own, (*mine, heard), after[:, heard].reshape(2, -1), below)
            values.append(value)
            policies.append(below)
        best = int(np.argmax(values))
        policy.update(policies[best])
        policy[mine] = best
        return values[best]


def optimum(horizon: int, resetting: bool, restarts: int) -> tuple[float, list[dict]]:
    """Alternate best responses from random policies; the best of the equilibria."""
    model, rng = Model(horizon, resetting), np.random.default_rng(0)
    best, found = -np.inf, [{}, {}]
    every = [h for length in range(1, horizon + 1) for h in histories(length)]
    for _ in range(restarts):
        policies = [{h: int(rng.choice(3, p=[0.2, 0.2, 0.6])) for h in every} for _ in range(2)]
        before = -np.inf
        while True:
            for own in (0, 1):
                value, answer = model.best_response(policies[1 - own], own)
                policies[own] = policies[own] | answer
            if value < before + 1e-9:
                break
            before = value
        if before > best:
            best, found = before, policies
    return best, found


def returns(policies: list[dict], horizon: int, resetting: bool, episodes: int) -> NDArray[np.float64]:
    """Play policies, and return what each episode paid."""
    venv = DecTiger(episodes, horizon, resetting)
    timestep = venv.reset(np.arange(episodes, dtype=np.uint64))
    heard: list[list[tuple[int, ...]]] = [[(), ()] for _ in range(episodes)]
    paid, going = np.zeros(episodes), np.ones(episodes, bool)
    for _ in range(horizon):
        seen = timestep.obs.argmax(2)
        heard = [[(*h[p], int(seen[e, p])) for p in (0, 1)] for e, h in enumerate(heard)]
        actions = [[policies[p].get(h[p], LISTEN) for p in (0, 1)] for h in heard]
        timestep = venv.step(np.array(actions))
        paid += timestep.reward[:, 0] * going
        going &= ~timestep.last
    assert not going.any()
    return paid


@pytest.mark.parametrize(
    "horizon, resetting, value, restarts",
    [(2, False, -4.0, 5), (2, True, -4.0, 5), (3, False, 5.19, 20), (3, True, 5.19, 20), (4, True, 4.80, 6)],
)
def test_optimal_values(horizon, resetting, value, restarts):
    best, policies = optimum(horizon, resetting, restarts)
    assert best == pytest.approx(value, abs=0.005)
    played = returns(policies, horizon, resetting, 20_000)
    assert abs(played.mean() - best) <= 4 * played.std() / 20_000**0.5


def test_the_optimal_terminating_policy_of_horizon_4():
    """Listen twice; after left, left open right; else listen again and open left iff right was heard twice: 7.43."""

    def policy(h: tuple[int, ...]) -> int:
        heard = h[1:]  # the first observation tells nothing
        if len(heard) == 2 and heard == (LEFT, LEFT):
            return RIGHT
        if len(heard) == 3:
            return LEFT if sum(heard) >= 2 else LISTEN
        return LISTEN

    table = {h: policy(h) for length in range(1, 5) for h in histories(length)}
    value, _ = Model(4, False).best_response(table, 0)
    assert value == pytest.approx(7.43, abs=0.005)
    played = returns([table, table], 4, False, 50_000)
    assert abs(played.mean() - value) < 4 * played.std() / 50_000**0.5


def test_no_policy_of_horizon_4_is_better():
    assert optimum(4, False, 300)[0] == pytest.approx(7.43, abs=0.005)


def test_the_simple_policies():
    always = {h: LISTEN for length in range(1, 5) for h in histories(length)}
    assert (returns([always, always], 4, False, 100) == -8).all()
    left = {h: LEFT for h in histories(1)}
    assert returns([left, left], 4, False, 20_000).mean() == pytest.approx(-15, abs=1)
    assert PAYS[:, :2, :2].mean() == -57.5  # independent random doors at once


def test_pays():
    for tiger in DOORS:
        good, bad = 1 - tiger, tiger
        pays = {(good, good): 20, (bad, bad): -50, (good, bad): -100, (LISTEN, LISTEN): -2}
        pays |= {(good, LISTEN): 9, (bad, LISTEN): -101}
        for (a, b), value in pays.items():
            assert PAYS[tiger, a, b] == PAYS[tiger, b, a] == value


def test_what_is_heard():
    venv = DecTiger(50_000, horizon=9, resetting=True)
    venv.reset(np.arange(50_000, dtype=np.uint64))
    assert abs(venv.heard.mean(0) - 0.5).max() < 0.01 and abs((venv.heard[:, 0] == venv.tiger).mean() - 0.5) < 0.01
    tiger = venv.tiger.copy()
    venv.step(np.full((50_000, 2), LISTEN))
    right = venv.heard == tiger[:, None]
    assert (venv.tiger == tiger).all() and abs(right.mean(0) - HEARS).max() < 0.01
    assert abs(right.all(1).mean() - HEARS**2) < 0.01  # the two hear independently
    venv.step(np.full((50_000, 2), (LISTEN, LEFT)))
    assert abs((venv.tiger == tiger).mean() - 0.5) < 0.01 and abs((venv.heard == tiger[:, None]).mean() - 0.5) < 0.01


def test_opening_ends_the_episode_or_resets_the_tiger():
    _, venv = play(make("dec_tiger", 2), [[(LISTEN, LISTEN), (LEFT, LISTEN)]])
    assert venv.timestep.terminated[:, 0].tolist() == [False, True]
    _, venv = play(make("dec_tiger(resetting=true, horizon=2)", 1), [[(LEFT, LISTEN)], [(LEFT, LEFT)]])
    assert venv.timestep.terminated.all()


def test_it_keeps_its_promises():
    for reference in ("dec_tiger", "dec_tiger(resetting=true, horizon=3)"):
        assert check_game(reference, episodes=60).passed
    with pytest.raises(UserError, match="at least one step"):
        make("dec_tiger(horizon=0)", 1)
