"""Games whose payments are written down: `tests.games.ledger:Ledger(name=dimes)`. Moves change nothing."""

from itertools import accumulate

from games.contract import Array, Discrete, Spec

TENTHS = [0.1] * 3
BANK = [1000.1, 0.2, -0.3, -1000.0]

# What player 0 is paid at each step and player 1 pays, what `Spec` says otherwise, and who is paid more by the rules.
LEDGERS = {
    "dimes": ([*TENTHS, -0.3], {}, 0),
    "thirds": ([1 / 3] * 3 + [-1.0], {}, 0),
    "sevenths": ([1 / 7] * 7 + [-1.0], {"return_bounds": None}, 0),
    "a thousand cents": ([0.01] * 100 + [-1.0], {"return_bounds": (-10.0, 10.0)}, 0),
    "paid at the end": ([*TENTHS, -0.3], {"step_rewards": False}, 0),
    "a profit paid at the end": (BANK, {"step_rewards": False, "return_bounds": None}, 0),
    "a fortune": ([*BANK[:3], -999.9], {"return_bounds": None}, 1),
    "by a ten thousandth": ([*TENTHS, -0.3001], {}, -1),
    "by a ten thousandth, late": ([0.01] * 100 + [-0.9999], {}, 1),
    "by one chip": ([1e6, -1e6] * 50 + [1.0], {"return_bounds": (-1e6, 1e6)}, 1),
    "by a millionth, at the end": ([1e-6], {"step_rewards": False, "return_bounds": None}, 1),
}


class Ledger:
    """Two players take turns; what is paid does not depend on them."""

    def __init__(self, name: str = "dimes") -> None:
        payments, said, self.ahead = LEDGERS[name]
        self.totals = [0.0, *accumulate(payments)]
        self.spec = Spec(
            **{
                "name": name,
                "num_players": 2,
                "observation": Array((1,)),
                "action": Discrete(2),
                "payoff": "zero_sum",
                "turns": "sequential",
                "perfect_information": True,
                "chance": False,
                "searchable": True,
                "max_length": len(payments),
                "return_bounds": (-1.0, 1.0),
            }
            | said
        )

    def initial_state(self) -> "LedgerState":
        return LedgerState(self.totals, 0)


class LedgerState:
    """How many steps have been taken."""

    def __init__(self, totals: list[float], step: int) -> None:
        self.totals, self.step = totals, step

    def clone(self):
        return type(self)(self.totals, self.step)

    def acting(self):
        return () if self.is_terminal() else (self.step % 2,)

    def legal_actions(self, player):
        return [0, 1]

    def chance_outcomes(self):
        return ()

    def apply(self, actions):
        self.step += 1

    def apply_chance(self, outcome):
        raise NotImplementedError("a ledger has no chance")

    def is_terminal(self):
        return self.step == len(self.totals) - 1

    def returns(self):
        return self.totals[self.step], -self.totals[self.step]

    def observe(self, player, out):
        out[0] = self.step

    def key(self):
        return self.step
