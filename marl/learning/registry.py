"""Algorithms by name: the Learner class and the settings that a section of a config names."""

from typing import Any

from pydantic import BaseModel

from games.errors import UserError
from games.registry import Reference, resolve
from marl.base.schema import validate

GROUP = "marl.algorithms"


def algorithm(name: str) -> Any:
    """Return the Learner class of a registered algorithm."""
    return resolve(Reference("", name, ()), GROUP, "algorithm")


def configured(section: dict[str, Any], where: str) -> tuple[str, Any, BaseModel]:
    """Return the algorithm that a section of a config names, its Learner class, and its settings by its own schema."""
    settings = dict(section)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"the key 'name' is missing in '{where}'; `marl algorithms` names what is installed")
    learner = algorithm(name)
    return name, learner, validate(learner.Config, settings, f"the section '{where}' of {name}")
