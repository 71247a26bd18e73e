"""A game that can go on for ever, for tests of limits; it imports little."""

from games.contract import Array, Discrete, Spec


class Ring:
    """Walk on a ring of five places by turns; on the last, action 1 takes the prize, if there is one."""

    def __init__(self, ends: bool = True):
        self.ends = ends
        self.spec = Spec(
            name="ring",
            num_players=2,
            observation=Array((5,)),
            action=Discrete(2),
            payoff="zero_sum",
            turns="sequential",
            perfect_information=True,
            chance=False,
            searchable=True,
            step_rewards=False,
            return_bounds=(-1, 1),
        )

    def initial_state(self):
        return Place(self)


class Place:
    def __init__(self, game, place=0, player=0, winner=None):
        self.game, self.place, self.player, self.winner = game, place, player, winner

    def clone(self):
        return Place(self.game, self.place, self.player, self.winner)

    def acting(self):
        return () if self.is_terminal() else (self.player,)

    def legal_actions(self, player):
        return [0, 1]

    def chance_outcomes(self):
        return ()

    def apply(self, actions):
        if actions[self.player] and self.place == 4 and self.game.ends:
            self.winner = self.player
        else:
            self.place, self.player = (self.place + 1) % 5, 1 - self.player

    def apply_chance(self, outcome):
        raise NotImplementedError

    def is_terminal(self):
        return self.winner is not None

    def returns(self):
        return (0.0, 0.0) if self.winner is None else (1.0, -1.0) if self.winner == 0 else (-1.0, 1.0)

    def observe(self, player, out):
        out[:] = 0
        out[self.place] = 1

    def key(self):
        return self.place, self.player, self.winner
