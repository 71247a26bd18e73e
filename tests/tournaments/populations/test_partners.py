"""The checkpoints of a pool, and seeds that are held out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tournaments.populations.partners.pool import ROLES, half_way, pool_of, training_seed


def test_half_way_is_the_first_checkpoint_with_half_of_the_final_return():
    """Trap: not the last such, not the nearest to half, and not the middle of training."""
    assert half_way([(0, 0.0), (10, 3.9), (20, 5.0), (30, 2.0), (40, 6.0), (50, 10.0)]) == 20
    assert half_way([(0, 0.0), (10, 9.0), (20, 10.0)]) == 10
    assert half_way([(0, -40.0), (10, -31.0), (20, -29.0), (30, -20.0)]) == 20  # half of -20 is never reached
    assert half_way([(0, 5.0), (10, 7.0), (20, 8.0), (30, 10.0)]) == 20  # the start has half of 10 already
    assert half_way([(0, 5.0), (10, 2.0), (20, 1.0)]) == 0  # nothing was learned
    with pytest.raises(ValueError, match="got none"):
        half_way([])


def test_the_pool_has_start_half_and_final():
    assert pool_of([(0, 0.0), (10, 6.0), (20, 10.0)]) == {"start": 0, "half": 10, "final": 20}
    assert pool_of([(0, 0.0), (10, 1.0), (20, 10.0)]) == {"start": 0, "final": 20}
    assert pool_of([(0, 5.0), (10, 1.0), (20, 4.0)]) == {"start": 0, "final": 20}


@given(st.integers(0, 2**63 - 1), st.integers(1, 60))
def test_no_two_agents_of_a_population_have_one_training_seed(seed, n):
    """Trap: co-play that is tested on its own pool."""
    seeds = {role: [training_seed(seed, role, place) for place in range(n)] for role in ROLES}
    every = [one for some in seeds.values() for one in some]
    assert len(set(every)) == 3 * n and all(0 <= one < 2**63 for one in every)


def test_populations_have_training_seeds_of_their_own():
    assert len({training_seed(seed, "partner", place) for seed in range(100) for place in range(8)}) == 800
