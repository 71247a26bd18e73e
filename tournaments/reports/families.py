"""Families: agents that differ by one number alone, read from their references: no checkpoint is opened.

The number is an argument of a reference, or the steps of a run's checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path

from games.references import Reference, parse

STEPS = "steps"  # of training, as the name of a checkpoint's folder says


def numbers(reference: Reference) -> dict[str, float]:
    """Return the numbers of an agent by name: its numeric arguments, and the steps of a run's checkpoint."""
    steps = {STEPS: int(Path(reference.name).name)} if is_checkpoint(reference) else {}
    return steps | {key: value for key, value in reference.arguments if type(value) in (int, float)}


def family_of(reference: Reference, by: str) -> Reference:
    """Return a reference without the argument `by`, the others sorted by name; for steps, with the run's folder."""
    name = reference.name
    if by == STEPS and is_checkpoint(reference):
        name = str(Path(name).parent.parent)
    return Reference(reference.source, name, tuple(sorted(pair for pair in reference.arguments if pair[0] != by)))


def is_checkpoint(reference: Reference) -> bool:
    """Return whether a reference names a checkpoint of a run: RUN/checkpoints/STEPS."""
    path = Path(reference.name)
    return not reference.source and path.parent.name == "checkpoints" and path.name.isdecimal()


def lineages(references: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return the agents, given with their references, that are checkpoints of one run played the same way, by steps.

    Runs with a single agent are left out, and so are agents with the same steps, of which only one is kept.
    """
    families: dict[str, dict[float, str]] = {}
    for agent in sorted(references):
        reference = parse(references[agent])
        if is_checkpoint(reference):
            families.setdefault(family_of(reference, STEPS).shown, {})[numbers(reference)[STEPS]] = agent
    return tuple(tuple(agent for _, agent in sorted(of.items())) for _, of in sorted(families.items()) if len(of) > 1)
