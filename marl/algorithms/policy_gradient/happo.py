"""HAPPO: the players of a team improve their policies in turn (Kuba et al. 2022, https://arxiv.org/abs/2109.11251).

The advantage of a joint action is a sum over players, in any order i_1, ..., i_n (the paper's lemma 1):

    A(s, a) = Σ_m A^{i_m}(s, a^{i_1..i_{m-1}}, a^{i_m})

So the return of the team does not fall if each player in turn improves its own term against the policies that those
before it have now. In a sample that was drawn with the old policies these terms are reweighted: player i_m maximises

    E [ M · min(ratio A, clip(ratio, 1 - c, 1 + c) A) ]        M = Π_{j<m} π_new^{i_j}(a | o) / π_old^{i_j}(a | o)

with its own `ratio` and the advantage A of the joint action, by a critic that sees the whole state. The order is drawn
anew for each update. The rest of the update is PPO's (ppo.py), the defaults are MAPPO's (mappo.py).

Each player has its own networks, or each group of players (`share_parameters: [[0, 1], [2]]`): a group improves at
once. M is a product over the players who acted at that step. Deviations from the paper: each player's critic estimates
A from its own decisions; in a team game they estimate the same.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from games.contract import Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.algorithms.policy_gradient.batch import Batch
from marl.algorithms.policy_gradient.centralised import Centralised, CentralisedConfig, refuse_no_team
from marl.base.schema import Count


class HappoConfig(CentralisedConfig):
    """The settings of HAPPO."""

    share_parameters: bool | tuple[tuple[Count, ...], ...] = False


class Happo(Centralised):
    """Heterogeneous-agent PPO: players improve in turn.

    Raises UserError for a game that is not a team's, and for one network of all players.
    """

    Config, name = HappoConfig, "happo"

    def __init__(self, config: HappoConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        refuse_no_team("happo", spec)
        super().__init__(config, spec, key=key, total_steps=total_steps, device=device)
        if len(self.models) == 1 and spec.num_players > 1:
            raise UserError(
                "expected share_parameters: false or groups of players for happo, got one network of all players, "
                "who then cannot improve in turn; mappo is that learner"
            )

    def _in_turn(self, batches: dict[int, Batch], learn: NDArray[np.bool_]) -> Iterator[tuple[int, Batch]]:
        order = np.random.default_rng(fold_one(stream(self._key, "order"), self._updates)).permutation(sorted(batches))
        time, env, player = np.nonzero(learn)
        weight = np.ones(learn.shape[:2])  # [T, E] M
        for group in order.tolist():
            rows = self.groups[player] == group
            batch, step = batches[group], (time[rows], env[rows])
            batch.columns["weight"] = torch.from_numpy(weight[step].astype(np.float32)).to(self.device)
            yield group, batch
            np.multiply.at(weight, step, self._ratios(group, batch))

    @torch.no_grad()
    def _ratios(self, group: int, batch: Batch) -> NDArray[np.float64]:
        """Return π_new / π_old of the rows of a batch [B], by the networks as they are now."""
        places, rows = batch.whole()
        model = self.models[group]
        outputs, _ = model(rows["obs"], rows["player"], rows.columns.get("state"), rows.unrolling)
        log_prob, _ = model.policies.log_prob_and_entropy(outputs, rows["action_mask"], rows["player"], rows["chosen"])
        ratios = torch.empty(len(batch), dtype=torch.float64, device=self.device)
        ratios[places] = (log_prob - rows["old_log_prob"]).double().exp()
        found: NDArray[np.float64] = ratios.cpu().numpy()
        return found
