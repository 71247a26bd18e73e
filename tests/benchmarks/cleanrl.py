"""PPO as CleanRL writes it (ppo.py and ppo_pettingzoo_ma_atari.py of vwxyzjn/cleanrl), on SuperSuit's vectoriser.

The same loop, networks and defaults, at mpe2's simple_spread: every player of every environment is a row of one batch,
and one network plays all. Only what is logged and saved is left out. `Ppo(num_envs).update()` collects and learns once.
"""

import numpy as np
import supersuit
import torch
from mpe2 import simple_spread_v3
from torch import nn
from torch.distributions import Categorical

LENGTH, EPOCHS, MINIBATCHES = 128, 4, 4
GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, NORM = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5


def layer(inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Linear:
    made = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(made.weight, gain)
    nn.init.constant_(made.bias, 0.0)
    return made


class Agent(nn.Module):
    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(layer(inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0))
        self.actor = nn.Sequential(layer(inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, actions, 0.01))

    def get_value(self, x):
        return self.critic(x)

    def get_action_and_value(self, x, action=None):
        probs = Categorical(logits=self.actor(x))
        if action is None:
            action = probs.sample()
        return action, probs.log_prob(action), probs.entropy(), self.critic(x)


class Ppo:
    """A training run; `rows` are the players of all environments."""

    def __init__(self, num_envs: int) -> None:
        env = supersuit.pettingzoo_env_to_vec_env_v1(simple_spread_v3.parallel_env(max_cycles=25))
        self.envs = supersuit.concat_vec_envs_v1(env, num_envs, num_cpus=0, base_class="gymnasium")
        self.num_envs, self.rows = num_envs, self.envs.num_envs
        shape = self.envs.observation_space.shape
        self.agent = Agent(int(np.prod(shape)), self.envs.action_space.n)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=2.5e-4, eps=1e-5)
        self.obs = torch.zeros((LENGTH, self.rows, *shape))
        self.actions = torch.zeros((LENGTH, self.rows))
        self.logprobs, self.rewards, self.dones, self.values = (torch.zeros((LENGTH, self.rows)) for _ in range(4))
        self.next_obs = torch.Tensor(self.envs.reset(seed=1)[0])
        self.next_done = torch.zeros(self.rows)

    def update(self) -> int:
        """Collect and learn once; return the environment steps."""
        self._collect()
        returns, advantages = self._advantages()
        batch = self.obs.reshape(LENGTH * self.rows, -1), self.logprobs.reshape(-1), self.actions.reshape(-1)
        flat = (*batch, advantages.reshape(-1), returns.reshape(-1))
        size = LENGTH * self.rows
        for _ in range(EPOCHS):
            order = np.random.permutation(size)
            for start in range(0, size, size // MINIBATCHES):
                self._minibatch([part[order[start : start + size // MINIBATCHES]] for part in flat])
        return LENGTH * self.num_envs

    def _collect(self) -> None:
        for step in range(LENGTH):
            self.obs[step], self.dones[step] = self.next_obs, self.next_done
            with torch.no_grad():
                action, logprob, _, value = self.agent.get_action_and_value(self.next_obs)
                self.values[step] = value.flatten()
            self.actions[step], self.logprobs[step] = action, logprob
            obs, reward, terminated, truncated, _ = self.envs.step(action.numpy())
            self.rewards[step] = torch.tensor(reward).view(-1)
            self.next_obs, self.next_done = torch.Tensor(obs), torch.Tensor(np.logical_or(terminated, truncated))

    def _advantages(self):
        with torch.no_grad():
            next_value = self.agent.get_value(self.next_obs).reshape(1, -1)
            advantages, last = torch.zeros_like(self.rewards), 0
            for t in reversed(range(LENGTH)):
                at_end = t == LENGTH - 1
                alive = 1.0 - (self.next_done if at_end else self.dones[t + 1])
                value = next_value if at_end else self.values[t + 1]
                delta = self.rewards[t] + GAMMA * value * alive - self.values[t]
                advantages[t] = last = delta + GAMMA * LAMBDA * alive * last
        return advantages + self.values, advantages

    def _minibatch(self, parts) -> None:
        obs, logprobs, actions, advantages, returns = parts
        _, newlogprob, entropy, newvalue = self.agent.get_action_and_value(obs, actions.long())
        ratio = (newlogprob - logprobs).exp()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        pg_loss = torch.max(-advantages * ratio, -advantages * torch.clamp(ratio, 1 - CLIP, 1 + CLIP)).mean()
        v_loss = 0.5 * ((newvalue.view(-1) - returns) ** 2).mean()
        loss = pg_loss - ENTROPY * entropy.mean() + v_loss * VALUE
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.agent.parameters(), NORM)
        self.optimizer.step()
