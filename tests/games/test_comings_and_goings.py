"""Who acts, who waits, who is over and who is paid, in both of PettingZoo's APIs and in Gymnasium's."""

import json

import gymnasium
import gymnasium.spaces as spaces
import numpy as np
import pytest
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import AgentSelector

from games.check import check_game
from games.contract import VecEnv
from games.errors import GameFailed
from games.registry import make
from games.wrappers import Wrapper
from marl.base.terminal import Terminal
from marl.training.config import TrainConfig
from marl.training.runlog import EVALUATIONS
from marl.training.train import train

HERE = "tests.games.test_comings_and_goings"


class Table(ParallelEnv):
    """Agents a and b pay themselves 1 for action 1, over six steps; the last cuts the recording."""

    metadata = {"name": "table_v0"}
    possible_agents = ["a", "b"]
    horizon = 6

    def observation_space(self, agent):
        return spaces.Box(-1, 1, (3,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        self.t, self.agents = 0, self.opening()
        return self._views(self.agents), {agent: self.info(agent) for agent in self.agents}

    def opening(self):
        return list(self.possible_agents)

    def info(self, agent):
        return {}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.t += 1
        cut = self.t == self.horizon
        terminations = {agent: self.over(agent) for agent in self.agents}
        before, came = self.agents, [agent for agent in self.comes() if agent not in self.agents]
        self.agents = [] if cut else [a for a in before if not terminations[a] or self.stays(a)] + came
        told = {*before, *self.agents}
        return (
            self._views(told),
            self.rewards(actions, before),
            terminations,
            dict.fromkeys(before, cut),
            {agent: self.info(agent) for agent in told},
        )

    def over(self, agent):
        return False

    def stays(self, agent):
        return False

    def comes(self):
        return []

    def rewards(self, actions, before):
        return {agent: float(actions[agent] == 1) for agent in before}

    def _views(self, agents):
        return {agent: np.full(3, self.t / 10, np.float32) for agent in agents}


class Waits(Table):
    """Every second step b has nothing to do, and its mask is empty."""

    def info(self, agent):
        return {"action_mask": np.full(3, agent == "a" or self.t % 2 == 0, np.int8)}


class AllWait(Table):
    """Nobody has anything to do at two steps in a row, and everybody is paid at each of them."""

    def info(self, agent):
        return {"action_mask": np.full(3, self.t not in (0, 2, 3), np.int8)}

    def rewards(self, actions, before):
        assert self.t - 1 not in (0, 2, 3) or set(actions.values()) == {0}
        return dict.fromkeys(before, 1.0)


class WaitsForEver(Table):
    horizon = 10**6

    def info(self, agent):
        return {"action_mask": np.zeros(3, np.int8)}


class ComesLate(Table):
    def opening(self):
        return ["a"]

    def comes(self):
        return ["b"] if self.t == 2 else []


class NeverComes(Table):
    def opening(self):
        return ["a"]


class LivesAgain(Table):
    """b dies at step 2, and is back at step 4."""

    def over(self, agent):
        return agent == "b" and self.t == 2

    def comes(self):
        return ["b"] if self.t == 4 else []


class IsBackAtOnce(LivesAgain):
    """b dies at step 2 and is still listed."""

    def stays(self, agent):
        return True


class StaysDead(IsBackAtOnce):
    """b is said to be dead at every step from the second on, and is still listed."""

    def over(self, agent):
        return agent == "b" and self.t >= 2


class PaidWhenDead(LivesAgain):
    """b dies at step 2, and is paid at the end."""

    def comes(self):
        return []

    def rewards(self, actions, before):
        return dict.fromkeys("ab", float(self.t == self.horizon))


class Gone(PaidWhenDead):
    """The same, but that b is named with 0 when it is dead."""

    def rewards(self, actions, before):
        return {"a": 1.0, "b": float("b" in before)}


class Sacrifice(ParallelEnv):
    """A team of two: at the first step `who` may give its life (action 1); if so all are paid 10 at the end, else less.

    `named`: whom the environment pays when one is dead.
    """

    metadata = {"name": "sacrifice_v0", "payoff": "team"}
    possible_agents = ["a", "b"]

    def __init__(self, who="a", plain=6.0, named="all", cut=False):
        self.who, self.plain, self.named, self.cut = who, plain, named, cut

    def observation_space(self, agent):
        return spaces.Box(0, 1, (4,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.t, self.gave = ["a", "b"], 0, False
        return self._views(), {}

    def step(self, actions):
        before, self.t = list(self.agents), self.t + 1
        if self.t == 1:
            self.gave = actions[self.who] == 1
        done = self.t == 3
        over = {agent: (done and not self.cut) or (self.gave and agent == self.who) for agent in before}
        cuts = dict.fromkeys(before, done and self.cut)
        paid = (10.0 if self.gave else self.plain) if done else 0.0
        self.agents = [agent for agent in before if not over[agent] and not cuts[agent]]
        named = self.possible_agents if self.named == "all" else before
        rewards = dict.fromkeys(named, paid)
        if self.named == "unequal":
            rewards["b"] += 1
        return self._views(), rewards, over, cuts, {}

    def _views(self):
        return dict.fromkeys(self.possible_agents, np.eye(4, dtype=np.float32)[self.t])


class Round(AECEnv):
    """x, y and z in turn, nine moves; PettingZoo's own book-keeping."""

    metadata = {"name": "round_v0"}
    possible_agents = ["x", "y", "z"]

    def observation_space(self, agent):
        return spaces.Box(-1, 1, (2,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(2)

    def observe(self, agent):
        return np.zeros(2, np.float32)

    def reset(self, seed=None, options=None):
        self.agents, self.t = list(self.possible_agents), 0
        self.rewards, self._cumulative_rewards = dict.fromkeys("xyz", 0.0), dict.fromkeys("xyz", 0.0)
        self.terminations, self.truncations = dict.fromkeys("xyz", False), dict.fromkeys("xyz", False)
        self.infos = {agent: {} for agent in self.agents}
        self.order = AgentSelector(self.agents)
        self.agent_selection = self.order.reset()

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0
        self._clear_rewards()
        self.t += 1
        self.act(agent, action)
        if self.t == 9:
            self.truncations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        self.agent_selection = self.order.next()
        self._deads_step_first()

    def act(self, agent, action):
        self.rewards[agent] = float(action)


class DeathGift(Round):
    """y dies at its first move; in its dead step its estate of 5 goes to z."""

    def act(self, agent, action):
        if self.t == 2:
            self.terminations["y"] = True

    def step(self, action):
        if self.agent_selection == "y" and self.terminations["y"]:
            self._clear_rewards()
            self._was_dead_step(action)
            self.rewards["z"] = 5.0
            self._cumulative_rewards["z"] += 5.0
            return
        super().step(action)


class CumulativeOnly(Round):
    """It pays what `last()` hands out, and says nothing in `rewards`."""

    def act(self, agent, action):
        self._cumulative_rewards[agent] += 1.0

    def _accumulate_rewards(self):
        pass


class DiesWaiting(Round):
    """z dies, and is paid for it, before it has ever moved; and once more before it leaves."""

    def act(self, agent, action):
        if self.t == 1:
            self.terminations["z"] = True
            self.rewards["z"] = -3.0
        if self.t == 2:
            self.rewards["z"] = -4.0

    def step(self, action):
        super().step(action)
        while self.agents and self.agent_selection not in self.agents:
            self.agent_selection = self.order.next()

    def _deads_step_first(self):
        return self.agent_selection  # the dead leave at their turns


class Stale(Round):
    """It never clears its rewards: x is paid 1 at every step."""

    def _clear_rewards(self):
        pass

    def act(self, agent, action):
        if self.t == 1:
            self.rewards = {"x": 1.0, "y": 0.0, "z": 0.0}


class ForgetsToAccumulate(Round):
    """It fills `rewards`, and `last()` hands out nothing."""

    def act(self, agent, action):
        self.rewards[agent] = 1.0

    def _accumulate_rewards(self):
        pass


class AnotherLast(Round):
    """It hands out by `last()` what nobody else can know of."""

    def last(self, observe=True):
        view, reward, *rest = super().last(observe)
        return view, reward + 1.0, *rest


class PassesInTurn(Round):
    """y has no legal action in the second round."""

    def act(self, agent, action):
        super().act(agent, action)
        assert agent != "y" or self.t != 5 or action == 0
        self.infos["y"] = {"action_mask": np.full(2, self.t != 4, np.int8)}


class ComesLateInTurn(Round):
    """z comes after the first round."""

    def reset(self, seed=None, options=None):
        super().reset(seed)
        for kept in (self.rewards, self._cumulative_rewards, self.terminations, self.truncations, self.infos):
            del kept["z"]
        self.agents.remove("z")
        self.order = AgentSelector(self.agents)
        self.agent_selection = self.order.reset()

    def act(self, agent, action):
        super().act(agent, action)
        if self.t == 2:
            self.agents.append("z")
            self.rewards["z"], self._cumulative_rewards["z"] = 0.0, 0.0
            self.terminations["z"], self.truncations["z"], self.infos["z"] = False, False, {}
            self.order.reinit(self.agents)


class TeamInTurns(DeathGift):
    """A team, whose y dies at its first move; all that live are paid 2 at every step."""

    metadata = {"name": "team_v0", "payoff": "team"}

    def act(self, agent, action):
        super().act(agent, action)
        self.rewards = dict.fromkeys(self.agents, 2.0)

    def step(self, action):
        Round.step(self, action)


class Guild(gymnasium.Env):
    """Gymnasium's Tuples: the first player is over at step 2, the second at step 4; all are paid 1 at every step."""

    observation_space = spaces.Tuple([spaces.Box(0, 1, (1,), np.float32)] * 2)
    action_space = spaces.Tuple([spaces.Discrete(2)] * 2)

    def __init__(self, payoff="team", waits=False):
        self.metadata, self.waits = {"payoff": payoff}, waits

    def reset(self, seed=None, options=None):
        self.t = 0
        return self._seen(), self._info()

    def step(self, actions):
        assert self.action_space.contains(actions)
        self.t += 1
        return self._seen(), [1.0, 1.0], [self.t >= 2, self.t >= 4], [False, False], self._info()

    def _seen(self):
        return (np.full(1, self.t / 4, np.float32),) * 2

    def _info(self):
        return {"action_mask": [np.ones(2, bool), np.full(2, not self.waits or self.t % 2 == 0)]}


def play(game: str, *joint: int) -> list[dict[str, list]]:
    """Play one episode with one joint action again and again; return what each step said."""
    venv = make(f"{HERE}:{game}", 1)
    step = venv.reset(np.array([1], np.uint64))
    actions, said = np.array([joint or [1] * venv.spec.num_players]), []
    while True:
        said.append({name: array[0].tolist() for name, array in vars(step).items()})
        if step.last[0]:
            return said
        step = venv.step(actions)


def column(said: list[dict[str, list]], name: str) -> list:
    return [step[name] for step in said]


def returns(game: str, *joint: int) -> list[float]:
    return np.sum(column(play(game, *joint), "reward"), axis=0).tolist()


KEPT = ["Waits", "AllWait", "ComesLate", "NeverComes", "LivesAgain", "Gone", "Sacrifice", "Sacrifice(named=living)"]
KEPT += ["Round", "DeathGift", "CumulativeOnly", "DiesWaiting", "Stale", "PassesInTurn", "ComesLateInTurn"]
KEPT += ["TeamInTurns", "Guild", "Guild(waits=True)"]


@pytest.mark.parametrize("game", KEPT)
def test_every_promise_is_kept(game):
    report = check_game(f"{HERE}:{game}", 8)
    assert report.passed, str(report)


def test_who_has_no_legal_action_waits():
    said = play("Waits")
    assert column(said, "acting") == [[True, True], [True, False]] * 3 + [[False, False]]
    assert not any(map(any, column(said, "terminated"))) and said[-1]["truncated"] == [True, True]
    assert np.sum(column(said, "reward"), axis=0).tolist() == [6, 3]  # the first action is sent for who waits


def test_steps_in_which_nobody_can_act_are_taken_together():
    said = play("AllWait")
    assert column(said, "acting") == [[True, True]] * 3 + [[False, False]]
    assert column(said, "reward") == [[0, 0], [4, 4], [1, 1], [1, 1]]  # 1 of the opening's comes with the first move


def test_a_game_in_which_nobody_ever_acts_is_refused():
    with pytest.raises(GameFailed, match="nobody has had a legal action for 1000 steps"):
        play("WaitsForEver")


@pytest.mark.parametrize("game, steps", [("ComesLate", (0, 1)), ("LivesAgain", (2, 3))])
def test_who_is_not_at_the_table_does_not_act(game, steps):
    said = play(game)
    away = [i in steps for i in range(len(said) - 1)]
    assert column(said, "acting") == [[True, not gone] for gone in away] + [[False, False]]
    assert said[-1]["truncated"] == [True, True]


def test_who_comes_late_is_not_over_before():
    assert not any(map(any, column(play("ComesLate"), "terminated")))
    assert column(play("NeverComes"), "terminated")[-2:] == [[False, False], [False, True]]


def test_a_death_is_an_end_and_a_return_a_new_life():
    assert column(play("LivesAgain"), "terminated") == [[False, i in (2, 3)] for i in range(7)]
    assert returns("LivesAgain") == [6, 4]


def test_views_of_who_never_came_are_not_of_the_episode_before():
    venv = make(f"{HERE}:NeverComes", 1)
    venv.reset(np.array([1], np.uint64)).obs[:] = 7
    step = venv.reset(np.array([2], np.uint64))
    assert step.obs[0, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("game", ["IsBackAtOnce", "StaysDead"])
def test_who_is_over_and_still_listed_is_refused_as_pettingzoos_own_tests_do(game):
    with pytest.raises(GameFailed, match="agent 'b' stays in `agents` after its end: environment 0, step 2 of"):
        play(game)


def test_who_is_paid_after_its_end_is_refused_and_told_how_to_be_paid():
    with pytest.raises(GameFailed, match=r"^[^\n]*player 1 is paid 1 after its end; let it stay in the game with an"):
        play("PaidWhenDead")
    assert returns("Gone") == [6, 2]


@pytest.mark.parametrize("named", ["all", "living"])
@pytest.mark.parametrize("wrapper", ["", " | team_reward", " | last_action"])
@pytest.mark.parametrize("who", ["a", "b"])
def test_a_teams_reward_is_everybodys_dead_or_alive(named, wrapper, who):
    game = f"Sacrifice(named={named}, who={who}){wrapper}"
    assert returns(game, 0, 0) == [6, 6] and returns(game, 1, 1) == [10, 10]


def test_a_team_ends_together():
    said = play("Sacrifice", 1, 0)
    assert column(said, "acting") == [[True, True], [False, True], [False, True], [False, False]]
    assert column(said, "terminated") == [[False, False]] * 3 + [[True, True]]
    cut = play("Sacrifice(cut=True)", 1, 0)[-1]
    assert (cut["terminated"], cut["truncated"]) == ([True, False], [False, True])  # the dead has no view to bootstrap


def test_a_team_that_is_not_paid_alike_is_stopped_and_reported():
    with pytest.raises(GameFailed, match="paid members of a team differently"):
        play("Sacrifice(named=unequal)", 0, 0)
    broken = [p.promise for p in check_game(f"{HERE}:Sacrifice(named=unequal)", 4).promises if p.passed is False]
    assert "payoffs are as declared" in broken


def test_team_reward_is_the_mean_over_all_players_of_what_they_are_paid():
    """b dies at step 2; what it earned counts, and the mean is over two to the end."""
    assert returns("Gone | team_reward") == [4, 4]


@pytest.mark.parametrize(
    "game, right",
    [
        ("Round", [3, 3, 3]),
        ("DeathGift", [0, 0, 5]),
        ("CumulativeOnly", [3, 3, 3]),
        ("DiesWaiting", [0, 0, -7]),
        ("Stale", [9, 0, 0]),
        ("PassesInTurn", [3, 2, 3]),
        ("TeamInTurns", [18, 18, 18]),
    ],
)
def test_returns_in_turns_are_those_of_last(game, right):
    assert returns(game) == right


def test_a_reward_in_a_dead_step_comes_with_the_step_that_led_to_it():
    assert column(play("DeathGift"), "reward") == [[0, 0, 0]] * 2 + [[0, 0, 5]] + [[0, 0, 0]] * 7


def test_who_dies_out_of_turn_is_over_when_it_leaves():
    said = play("DiesWaiting")
    assert column(said, "terminated")[:3] == [[False] * 3, [False] * 3, [False, False, True]]
    assert column(said, "reward")[1:3] == [[0, 0, -3], [0, 0, -4]]


def test_who_waits_in_turn_is_passed_over():
    order = "".join("xyz"[step["acting"].index(True)] for step in play("PassesInTurn")[:-1])
    assert order == "xyzxzxyz"


def test_who_comes_late_in_turn_acts_from_then_on():
    said = play("ComesLateInTurn")
    order = "".join("xyz"[step["acting"].index(True)] for step in said[:-1])
    assert order.startswith("xy") and "z" in order and not any(map(any, column(said, "terminated")))


@pytest.mark.parametrize("game", ["AnotherLast", "ForgetsToAccumulate"])
def test_returns_that_are_not_the_own_loops_are_reported(game):
    broken = {p.promise: p.detail for p in check_game(f"{HERE}:{game}", 4).promises if p.passed is False}
    assert list(broken) == ["returns are those of the library's own loop"]


def test_gymnasiums_team_ends_together():
    said = play("Guild")
    assert column(said, "acting")[2:] == [[False, True], [False, True], [False, False]]
    assert returns("Guild") == [4, 4] and not any(map(any, column(said, "terminated")[:-1]))


def test_gymnasiums_players_wait_and_are_not_paid_after_their_ends():
    assert column(play("Guild(waits=True)"), "acting")[:2] == [[True, True], [True, False]]
    with pytest.raises(GameFailed, match="player 0 is paid 1 after its end"):
        play("Guild(payoff=general_sum)")


class Passes(Wrapper):
    """A plug-in that pays its first player after its end."""

    def __init__(self, num_envs: int) -> None:
        inner: VecEnv = make("matrix(game=prisoners_dilemma, steps=4)", num_envs)
        super().__init__(inner, inner.spec)

    def _see(self, timestep, actions):
        timestep.terminated[:, 0] |= ~timestep.first
        timestep.reward[:, 0] = 1 - timestep.first
        return timestep


def test_the_guard_stops_what_pays_after_an_end():
    venv = make(f"{HERE}:Passes", 2)
    venv.reset(np.arange(2, dtype=np.uint64))
    venv.step(np.zeros((2, 2), int))
    venv.reset(np.arange(2, dtype=np.uint64), np.array([True, False]))  # one that opens anew has ended nothing
    with pytest.raises(GameFailed, match="paid a player after its end, player 0: environment 1, step 2"):
        venv.step(np.zeros((2, 2), int))


@pytest.mark.parametrize("wrapper", ["", " | team_reward"])
def test_ippo_learns_a_sacrifice(tmp_path, wrapper):
    """Dying pays the team more: 10 and 10 instead of 6 and 6."""
    config = TrainConfig(
        game=f"{HERE}:Sacrifice{wrapper}",
        algorithm={"name": "ippo", "learning_rate": 1e-2, "hidden": [16]},
        steps=3072,
        stretch=3072,
        num_envs=16,
        rollout_length=32,
        evaluation={"panel": ["self"], "seeds": 8},
    )
    train(config, tmp_path / "run", resume=False, console=Terminal(quiet=True))
    last = (tmp_path / "run" / EVALUATIONS).read_text().splitlines()[-1]
    mean = json.loads(last)["return_mean"]
    assert mean[0] == mean[1] > 9.5
