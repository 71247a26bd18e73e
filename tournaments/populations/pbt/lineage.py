"""Who copied whom in population-based training, and the settings with which a member's learner came to be.

The copies of round r are made when every learner has trained for r rounds of `ready` steps: at step r * ready.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from marl.base.intervals import Estimate

Settings = Mapping[str, Any]  # values by key, such as algorithm.learning_rate


@dataclass(frozen=True)
class Copy:
    """A member that goes on with the learner of another one, and with settings explored from those of that one.

    One that is its own parent copies nobody, and only explores.
    """

    round: int
    child: str
    parent: str
    parent_digest: str  # of the checkpoint that is copied
    before: Settings  # the child's, until then
    after: Settings
    child_fitness: Estimate
    parent_fitness: Estimate
    difference: Estimate  # paired
    diverged: bool = False  # the child, so that it copies whatever the difference

    @property
    def alone(self) -> bool:
        """Whether the member copies nobody."""
        return self.child == self.parent

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Copy":
        """Return what `to_json` was called on; raises TypeError for other data."""
        estimates = {name: Estimate(**data[name]) for name in ("child_fitness", "parent_fitness", "difference")}
        return cls(**dict(data) | estimates)


@dataclass(frozen=True)
class Phase:
    """The steps from `begin` to `end` of a member's training, with one setting of each key."""

    begin: int
    end: int
    member: str
    settings: Settings


def name_of(place: int) -> str:
    """Return the id of a member."""
    return f"member-{place:04d}"


def in_order(settings: Settings) -> str:
    """Return settings in words."""
    return ", ".join(
        f"{name.partition('.')[2]}: {value:.4g}" if isinstance(value, float) else f"{name.partition('.')[2]}: {value}"
        for name, value in settings.items()
    )


def best_of(found: Mapping[str, Any]) -> str:
    """Return the member of the highest fitness among those that a round has scored; the first of equals."""
    members = found["members"]
    return str(max(members, key=lambda name: members[name]["fitness"]))


def schedule(member: str, first: Mapping[str, Settings], copies: Sequence[Copy], ready: int, end: int) -> list[Phase]:
    """Return the phases in which the learner of a member came to be, from step 0 to `end`, in order.

    They are those of its ancestors, back through all copies. `first` are the members' settings in round 0.
    """
    phases: list[Phase] = []
    until = end
    while copied := _last(member, copies, -(-until // ready)):
        begin = copied.round * ready
        phases.append(Phase(begin, until, member, copied.after))
        member, until = copied.parent, begin
    phases.append(Phase(0, until, member, first[member]))
    return phases[::-1]


def _last(child: str, copies: Sequence[Copy], before: int) -> Copy | None:
    """Return the last copy of a child in the rounds before another; None where there is none."""
    found = [copy for copy in copies if copy.child == child and copy.round < before]
    return max(found, key=lambda copy: copy.round, default=None)
