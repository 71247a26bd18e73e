"""MAPPO: every player learns by PPO, with a critic that sees the whole state (Yu et al. 2022,
https://arxiv.org/abs/2103.01955).

Training is centralised, execution is not: the policy pi(a | o) sees a player's own view o, the value function V sees
more, which lowers the variance of the advantages. The update is PPO's (ppo.py). The critic's input is

    V(s, o, i)     the global state s, the player's own view o, and its index i (the paper's "agent-specific" state)

A game whose players all act at once and that has no global state gets s = the views of all players side by side, zeros
for a player who is out. In any other game there is nothing more to see: the critic is that of IPPO, and a note says so.

The defaults are the paper's where a few CPU cores allow it: two layers of 64 units and a GRU of 64, chunks of 10
decisions, normalised values, the Huber loss with δ = 10 and the value loss clipped like the ratio, advantages
standardised over the whole batch, gradients clipped at 10, γ = 0.99, λ = 0.95, ε = 0.2, an entropy bonus of 0.01, a
constant learning rate of 5e-4. Of 5 to 15 epochs it takes 5. Minibatches have about 4,096 decisions instead of a whole
batch of 10,000 or more: as many steps as the paper's take fewer passes over the data.

Deviations from the paper: networks are feed-forward by default (`recurrent`), and have tanh units, as in the paper's
runs on the particle environments, and no layer normalisation; the GRU's weights are uniform; the state of a player who
is out is not zeroed, since such a player has no decisions to learn from; the statistics of the values are updated once
an update with all targets, not at each minibatch; the last chunk of a sequence may be shorter than the others.
"""

from marl.algorithms.policy_gradient.centralised import Centralised, CentralisedConfig


class MappoConfig(CentralisedConfig):
    """The settings of MAPPO."""


class Mappo(Centralised):
    """Multi-agent PPO: a centralised critic, and policies of each player's own observations."""

    Config, name = MappoConfig, "mappo"
