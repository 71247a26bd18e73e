"""A game whose length depends on who plays: `tests.games.quits:Quits`."""

from games.batch import Batch
from games.contract import Array, Discrete, Spec


class Quits(Batch):
    """Two players choose at once; the game ends after 40 moves, or after 2 where somebody has chosen 1 by then.

    Who chose 1 loses. Its Spec has the name and the actions of a dilemma, so that scripted agents play it:
    always_cooperate for 40 moves, always_defect for 2.
    """

    SHORT, LONG = 2, 40

    def __init__(self, num_envs: int) -> None:
        spec = Spec(
            name="matrix",
            num_players=2,
            observation=Array((1,)),
            action=Discrete(2),
            payoff="zero_sum",
            turns="simultaneous",
            perfect_information=True,
            chance=False,
            searchable=False,
            max_length=self.LONG,
        )
        super().__init__(spec, num_envs, horizon=self.LONG, truncate=False)

    def open(self, envs):
        pass

    def move(self, actions):
        over = (self.age >= self.SHORT) & (actions == 1).any(1)
        self.timestep.reward[:] = 0
        self.timestep.reward[over] = actions[over][:, ::-1] - actions[over]
        return over

    def look(self):
        self.timestep.obs.fill(1)
