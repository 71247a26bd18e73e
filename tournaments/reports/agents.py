"""Who the agents of a tournament are, as its store says: what made them, and what that cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from tournaments.records import provenance
from tournaments.records.store import Store


@dataclass(frozen=True)
class About:
    """What a report says of an agent; None where it is not known."""

    label: str
    id: str
    reference: str
    what: str  # `ippo`, `built in`, `a user's class`
    parent: str | None  # its label if it is in the store, else how its digest begins
    steps: int | None
    cpu_seconds: float | None
    wall_seconds: float | None


def agents_of(store: Store, order: Sequence[str]) -> list[About]:
    """Return what the store says of its agents, in the order of their labels that is given; all others come last."""
    place = {label: k for k, label in enumerate(order)}
    labels, origins = store.labels(), provenance.origins(store)
    found = [
        _about(labels[agent.id], agent.id, agent.reference, origins.get(agent.id), labels) for agent in store.agents()
    ]
    return sorted(found, key=lambda agent: place.get(agent.label, len(place)))


def _about(label: str, id: str, reference: str, origin: provenance.Origin | None, labels: dict[str, str]) -> About:
    if origin is None:
        return About(label, id, reference, "—", None, None, None, None)
    what = origin.algorithm or {"built-in": "built in", "class": "a user's class"}.get(origin.kind, origin.kind)
    parent = origin.parent and labels.get(origin.parent, origin.parent[:12])
    return About(label, id, reference, what, parent, origin.steps, origin.cpu_seconds, origin.wall_seconds)
