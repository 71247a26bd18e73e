"""The pool of fictitious co-play (Strouse et al. 2021, https://arxiv.org/abs/2110.08176), and its training seeds.

The pool has checkpoints of agents that were trained by self-play: as they were at the start, half-way, and at the end.
"""

from collections.abc import Sequence

from games.keys import stream

ROLES = "partner", "held_out", "learner"  # whom training makes


def half_way(evaluations: Sequence[tuple[int, float]]) -> int:
    """Return the step of the first checkpoint that earns at least half of what training has gained.

    `evaluations` are the steps of all checkpoints, from the start on, with their mean returns on a fixed panel. Where
    the start earns 0, this is half of the final return; it is also right where returns are negative.
    Raises ValueError if there is none.
    """
    if not evaluations:
        raise ValueError("expected the evaluations of a run, got none")
    first, last = evaluations[0][1], evaluations[-1][1]
    enough = (first + last) / 2
    return next(step for step, earned in evaluations if earned >= min(enough, last))


def pool_of(evaluations: Sequence[tuple[int, float]]) -> dict[str, int]:
    """Return the steps of a partner's checkpoints that enter the pool: start, half and final, each checkpoint once."""
    start, half, final = evaluations[0][0], half_way(evaluations), evaluations[-1][0]
    return {"start": start} | ({} if half in (start, final) else {"half": half}) | {"final": final}


def training_seed(seed: int, role: str, place: int) -> int:
    """Return the training seed of the agent at a place among those of a role of ROLES, in a population with `seed`.

    No two of a population are equal, whatever their roles: they count up from one number, role by role in turn. So
    agents that are held out are strangers to the pool, and more agents of one role change no seed.
    """
    first = stream(seed, "partners") >> 2
    return first + len(ROLES) * place + ROLES.index(role)
