"""The training of a member of a population as a unit of work.

Its id knows the settings that differ from their defaults. So a setting that a learner, or a run, gets in a later
version leaves the ids as they are, where its default is what was done before.
"""

from collections.abc import Mapping
from typing import Any

from marl.base.digests import Json
from marl.base.schema import distinct
from marl.base.units import Unit
from marl.learning.registry import algorithm
from marl.training.config import TrainConfig


def training_unit(member: str, config: Mapping[str, Any], seed: int, until: int | None = None) -> Unit:
    """Return the unit of work that trains a member to the config's last step, or to `until` before it.

    `config` is a TrainConfig as JSON data, which may name agents by their digests alone.
    """
    named: dict[str, Json] = {"member": member} | ({} if until is None else {"until": until})
    own = distinct(dict(config), TrainConfig, lambda name: algorithm(name, typed=True).Config)
    return Unit("train", named | {"config": dict(config)}, seed, named | {"config": own})
