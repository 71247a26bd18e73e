"""Algorithms by name: the Learner class and the settings that a section of a config names.

A name is that of an entry point, or `package.module:Class`. The latter names code to import, so it is accepted only
from a user, not from a checkpoint or a run's folder.
"""

import inspect
from typing import Any

from pydantic import BaseModel

from games import plugins
from games.errors import UserError
from games.references import Reference, parse, resolve
from marl.base.origin import NOWHERE, Origin
from marl.base.schema import validate
from marl.learning.learner import Learner


def algorithm(name: str, *, typed: bool = False) -> type[Learner]:
    """Return the Learner class of an algorithm: a registered one or, if a user `typed` the name, any class.

    Raises UserError if there is none of that name, or if the class is no Learner or lacks a part of one.
    """
    reference = parse(name) if ":" in name else Reference("", name, ())
    if reference.source and not typed:
        raise UserError(
            f"the algorithm '{name}' is a class that is not registered here: not run; register it by an entry point"
        )
    if reference.arguments:
        raise UserError(f"expected the settings of '{name}' as keys of its section, got {reference.brackets}")
    return _checked(resolve(reference, plugins.ALGORITHMS, "algorithm"), name)


def _checked(found: Any, name: str) -> type[Learner]:
    """Return a class if it is a complete Learner with settings; raises UserError that names what is missing."""
    if not inspect.isclass(found) or not issubclass(found, Learner):
        raise UserError(f"expected '{name}' to be a class that inherits from marl.Learner, got {found!r}")
    if missing := sorted(found.__abstractmethods__):
        raise UserError(f"the algorithm '{name}' lacks {', '.join(missing)} of a marl.Learner; write what is missing")
    config = getattr(found, "Config", None)
    if not inspect.isclass(config) or not issubclass(config, BaseModel):
        raise UserError(f"expected Config of the algorithm '{name}' to be a pydantic model, got {config!r}")
    return found


def configured(
    section: dict[str, Any], where: str, *, typed: bool = False, record: bool = False, origin: Origin = NOWHERE
) -> tuple[str, type[Learner], BaseModel]:
    """Return the algorithm that a section of a config names, its Learner class, and its settings by its own schema.

    `where` is the path of the section, and `origin` says where the values of the config come from. `typed`: a user
    typed the name; `record`: a run wrote the section (`schema.validate`).
    """
    path = tuple(where.split("."))
    settings = dict(section)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        place = origin.of_section(path, f"'{where}'").where(())
        raise UserError(f"the key 'name' is missing in {place}; `marl algorithms` names what is installed")
    with origin.blame((*path, "name")):
        learner = algorithm(name, typed=typed)
    section_origin = origin.of_section(path, f"the section '{where}' of {name}")
    return name, learner, validate(learner.Config, settings, section_origin, record=record)
