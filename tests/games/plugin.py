"""Nim: the smallest game that somebody could plug in, as `tests.games.plugin:Nim(stones=7)`."""

from games.contract import Array, Discrete, Spec


class Nim:
    """Take one or two stones; whoever takes the last one wins."""

    def __init__(self, stones: int = 7) -> None:
        self.stones = stones
        self.spec = Spec(
            name="nim",
            num_players=2,
            observation=Array((1,)),
            action=Discrete(2),
            payoff="zero_sum",
            turns="sequential",
            perfect_information=True,
            chance=False,
            searchable=True,
            step_rewards=False,
            max_length=stones,
            return_bounds=(-1.0, 1.0),
        )

    def initial_state(self) -> "NimState":
        return NimState(self.stones, 0)


class NimState:
    """So many stones, and whose turn it is."""

    def __init__(self, stones: int, player: int) -> None:
        self.stones, self.player = stones, player

    def clone(self):
        return type(self)(self.stones, self.player)

    def acting(self):
        return (self.player,) if self.stones else ()

    def legal_actions(self, player):
        return [0, 1][: self.stones]

    def chance_outcomes(self):
        return ()

    def apply(self, actions):
        self.stones -= actions[self.player] + 1
        self.player = 1 - self.player

    def apply_chance(self, outcome):
        raise NotImplementedError("Nim has no chance")

    def is_terminal(self):
        return self.stones == 0

    def returns(self):
        if self.stones:
            return (0.0, 0.0)
        return (-1.0, 1.0) if self.player == 0 else (1.0, -1.0)

    def observe(self, player, out):
        out[0] = self.stones

    def key(self):
        return self.stones, self.player
