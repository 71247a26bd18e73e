"""IPPO: every player learns by PPO from its own observations (de Witt et al. 2020, https://arxiv.org/abs/2011.09533).

Each player treats the others as part of its environment: the policy pi(a | o) and the value function V(o) see its own
view o, with a GRU its own views so far, and nothing else. In self-play this learner holds every seat. The update is
PPO's (ppo.py).

Deviations from the paper: networks are feed-forward by default; the value loss is not clipped by default, because
clipping never helped in our tests (Andrychowicz et al. 2021, https://arxiv.org/abs/2006.05990, found the same); values
are computed once for a whole trajectory, not at each step: the same numbers, in larger matrix products.
"""

from marl.algorithms.policy_gradient.ppo import Ppo, PpoConfig


class IppoConfig(PpoConfig):
    """The settings of IPPO."""


class Ippo(Ppo):
    """Independent PPO: every player learns from its own observations."""

    Config, name = IppoConfig, "ippo"
