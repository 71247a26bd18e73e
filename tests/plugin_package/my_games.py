from games.drawing.svg import Area, circle, drawing
from marl import Array, Discrete, Spec


class Nim:
    """Take one or two stones; whoever takes the last one wins."""

    def __init__(self, stones: int = 7):
        self.stones = stones
        self.spec = Spec(
            name="nim",
            num_players=2,
            observation=Array((stones + 1,)),
            action=Discrete(2),
            payoff="zero_sum",
            turns="sequential",
            perfect_information=True,
            chance=False,
            searchable=True,
            step_rewards=False,  # all is paid at the end
            max_length=stones,
            return_bounds=(-1.0, 1.0),
        )

    def initial_state(self):
        return NimState(self.stones, 0)


class NimState:
    def __init__(self, stones, player):
        self.stones, self.player = stones, player

    def clone(self):
        return NimState(self.stones, self.player)

    def acting(self):
        return (self.player,) if self.stones else ()

    def legal_actions(self, player):
        return [0, 1][: self.stones]

    def chance_outcomes(self):
        return ()

    def apply(self, actions):  # a joint action: one entry for each player
        self.stones -= actions[self.player] + 1
        self.player = 1 - self.player

    def apply_chance(self, outcome):
        raise NotImplementedError

    def is_terminal(self):
        return self.stones == 0

    def returns(self):
        won = -1.0 if self.player == 0 else 1.0  # who is to move has lost
        return (0.0, 0.0) if self.stones else (won, -won)

    def observe(self, player, out):
        out[:] = 0
        out[self.stones] = 1

    def key(self):  # equal for equal positions
        return self.stones, self.player

    def action_name(self, player, action):  # optional: words for people
        return ("take one", "take two")[action]

    def __str__(self):  # optional: the position for people
        return "o" * self.stones

    def draw(self, player):  # optional: a picture, and where a click means an action
        stones = [circle(30 + 40 * k, 30, 16, "p0") for k in range(self.stones)]
        legal = self.legal_actions(player) if player in (None, self.player) else []
        targets = {action: Area(10 + 40 * (self.stones - 1 - action), 10, 40, 40) for action in legal}
        return drawing(20 + 40 * max(self.stones, 1), 60, stones, targets)


import numpy as np


class HighCard:
    """Three players pay 1 and get a card each; in turn they raise by 1 or fold, and the highest card left takes all."""

    def __init__(self, cards: int = 6):
        self.cards = cards
        self.spec = Spec(
            name="high_card",
            num_players=3,
            observation=Array((cards + 6,)),
            action=Discrete(2),
            payoff="zero_sum",
            turns="sequential",
            perfect_information=False,
            chance=True,
            searchable=True,
            step_rewards=False,
            max_length=3,
            return_bounds=(-2.0, 4.0),
        )

    def initial_state(self):
        return HighCardState(self.cards, (), ())


class HighCardState:
    def __init__(self, cards, hands, moves):
        self.cards, self.hands, self.moves = cards, hands, moves  # one card for each player; 0: fold, 1: raise

    def clone(self):
        return HighCardState(self.cards, self.hands, self.moves)

    def acting(self):
        dealt = len(self.hands) == 3
        return (len(self.moves),) if dealt and not self.is_terminal() else ()  # nobody: the next card is dealt

    def legal_actions(self, player):
        return [0, 1]

    def chance_outcomes(self):  # (outcome, probability) pairs, while cards are dealt
        if len(self.hands) == 3:
            return ()
        left = [card for card in range(self.cards) if card not in self.hands]
        return [(card, 1 / len(left)) for card in left]

    def apply(self, actions):
        self.moves += (actions[len(self.moves)],)

    def apply_chance(self, outcome):
        self.hands += (outcome,)

    def is_terminal(self):
        return len(self.moves) == 3

    def returns(self):
        if not self.is_terminal():
            return (0.0, 0.0, 0.0)
        paid = [1 + move for move in self.moves]
        left = [player for player in range(3) if self.moves[player]] or range(3)  # if all fold, all show
        winner = max(left, key=lambda player: self.hands[player])
        return tuple(float(sum(paid) * (player == winner) - paid[player]) for player in range(3))

    def observe(self, player, out):  # the player's own card, and what each player did
        out[:] = 0
        out[self.hands[player]] = 1
        for mover, move in enumerate(self.moves):
            out[self.cards + 2 * mover + move] = 1

    def key(self):
        return self.hands, self.moves

    def information(self, player):  # equal where this player cannot tell positions apart
        return player, self.hands[player], self.moves

    def resample(self, player, key):  # the same for this player; the hidden cards are dealt again, by the key
        own = self.hands[player]
        others = np.random.default_rng(key).permutation([card for card in range(self.cards) if card != own]).tolist()
        hands = tuple(own if seat == player else others.pop() for seat in range(3))
        return HighCardState(self.cards, hands, self.moves)

    def action_name(self, player, action):
        return ("fold", "raise")[action]

    def describe(self, player):  # optional: what this player may see, in words
        return f"your card: {self.hands[player]}; moves so far: {self.moves}"


from gymnasium.spaces import Box
from gymnasium.spaces import Discrete as Choices
from pettingzoo import ParallelEnv


class Rendezvous(ParallelEnv):
    """Two walkers on a ring want to meet; every step that they do not costs them both."""

    metadata = {"name": "rendezvous_v0", "payoff": "team"}
    possible_agents = ["north", "south"]

    def __init__(self, cells: int = 8):
        self.cells = cells

    def observation_space(self, agent):
        return Box(0, 1, (2 * self.cells,), np.float32)

    def action_space(self, agent):
        return Choices(3)  # left, stay, right

    def reset(self, seed=None, options=None):
        self.agents, self.steps = list(self.possible_agents), 0
        self.place = np.random.default_rng(seed).integers(0, self.cells, 2)  # all randomness comes from the seed
        return self._views(), {agent: {} for agent in self.agents}

    def step(self, actions):
        moves = [actions[agent] - 1 for agent in self.possible_agents]
        self.place = (self.place + moves) % self.cells
        self.steps += 1
        met, cut = bool(self.place[0] == self.place[1]), self.steps == 12
        views = self._views()
        everybody = self.agents
        if met or cut:
            self.agents = []
        return (
            views,
            dict.fromkeys(everybody, 0.0 if met else -1.0),
            dict.fromkeys(everybody, met),
            dict.fromkeys(everybody, cut),
            {agent: {} for agent in everybody},
        )

    def _views(self):
        seen = np.eye(self.cells, dtype=np.float32)[self.place]
        return {agent: np.roll(seen, player, axis=0).reshape(-1) for player, agent in enumerate(self.possible_agents)}


from games.batch import Batch


class Pennies(Batch):
    """Matching pennies, again and again: player 0 wants the coins to match. Both see what was played last."""

    ACTIONS = ("heads", "tails")

    def __init__(self, num_envs: int, steps: int = 10):
        spec = Spec(
            name="pennies",
            num_players=2,
            observation=Array((3,)),
            action=Discrete(2),
            payoff="zero_sum",
            turns="simultaneous",
            perfect_information=False,
            chance=False,
            searchable=False,
            max_length=steps,
            return_bounds=(-steps, steps),
        )
        super().__init__(spec, num_envs, horizon=steps, truncate=False)  # the horizon belongs to the game
        self.last = np.zeros((num_envs, 2), int)  # [E, N] 0: nothing yet

    def open(self, envs):  # an array of indices; self.draw(n, envs) gives random numbers
        self.last[envs] = 0

    def move(self, actions):  # [E, N]; pay self.timestep.reward, and return where the game is over [E]
        won = np.where(actions[:, 0] == actions[:, 1], 1, -1)
        self.timestep.reward[:] = np.stack([won, -won], 1)
        self.last = actions + 1
        return np.zeros(self.num_envs, bool)

    def look(self):  # write what the players see: from the position, and nothing else
        self.timestep.obs[:] = np.eye(3)[self.last]

    def render(self, env):
        return "played last: " + ", ".join(("nothing", *self.ACTIONS)[coin] for coin in self.last[env])
