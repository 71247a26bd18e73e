"""Agents that look ahead with other agents, which stand as references in their arguments.

rollout(base=runs/x, samples=16)                             marl/search/rollout_agent.py
minimax(propose=[max_damage, random], evaluate=runs/x)       marl/search/minimax.py

References nest: rollout(base=rollout(base=random, samples=4), samples=4).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from games.references import Reference, split
from marl.search.minimax import MinimaxAgent
from marl.search.rollout_agent import RolloutAgent

NOTHING = "none"  # an argument that is left out


@dataclass(frozen=True)
class Kind:
    """A class of such agents; `roles` are the arguments that name agents, and whether they take a list of them.

    `usual` are the agents of roles that a user leaves out: parts like all others, so that digests hold theirs, too.
    """

    target: type[RolloutAgent] | type[MinimaxAgent]
    roles: Mapping[str, bool]
    usual: Mapping[str, str] = field(default_factory=dict)


LOOKING_AHEAD: dict[str, Kind] = {
    "rollout": Kind(RolloutAgent, {"base": False, "opponents": False}),
    "minimax": Kind(
        MinimaxAgent,
        {"propose": True, "reply": True, "evaluate": False},
        {"propose": "uct(simulations=20)", "reply": "uct(simulations=20)"},
    ),
}


def looks_ahead(reference: Reference) -> bool:
    """Return whether a reference names such an agent."""
    return not reference.source and reference.name in LOOKING_AHEAD


def settings_of(reference: Reference) -> Reference:
    """Return the reference with those arguments alone that name no agents."""
    roles = LOOKING_AHEAD[reference.name].roles
    return replace(reference, arguments=tuple((k, v) for k, v in _given(reference) if k not in roles))


def parts_of(reference: Reference) -> dict[str, list[str]]:
    """Return the references of the agents with which another looks ahead, by role."""
    kind = LOOKING_AHEAD[reference.name]
    named = {**kind.usual, **dict(_given(reference))}
    return {
        role: _listed(named[role]) if several else [str(named[role])]
        for role, several in kind.roles.items()
        if role in named
    }


def parts(reference: Reference) -> Iterator[str]:
    """Yield the references of the agents with which another looks ahead."""
    for texts in parts_of(reference).values():
        yield from texts


def shown(reference: Reference, names: Mapping[str, list[str]]) -> str:
    """Return the reference as it is shown, with the names of the agents in it by role."""
    written = []
    for key, value in _given(reference):
        if key in names:
            text = ", ".join(names[key])
            written.append(f"{key}=[{text}]" if len(names[key]) > 1 else f"{key}={text}")
        else:
            written.append(replace(reference, arguments=((key, value),)).shown_brackets[1:-1])
    return f"{reference.name}({', '.join(written)})" if written else reference.name


def _given(reference: Reference) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in reference.arguments if value not in (None, NOTHING)]


def _listed(value: Any) -> list[str]:
    """Return the references in an argument: one, or those within square brackets."""
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    text = str(value).strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    return [part.strip() for part in split(text[1:-1], ",") if part.strip()]
