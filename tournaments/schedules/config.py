"""The schedules that a tournament's config can name: `schedule: swiss`, or `schedule: {kind: swiss, rounds: 5}`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from games.errors import nearest, written
from tournaments.schedules.active import ActiveConfig
from tournaments.schedules.best import BestConfig
from tournaments.schedules.focal import FocalConfig
from tournaments.schedules.gauntlet import GauntletConfig
from tournaments.schedules.knockout import KnockoutConfig
from tournaments.schedules.ladder import LadderConfig
from tournaments.schedules.round_robin import RoundRobinConfig
from tournaments.schedules.sprt import SprtConfig
from tournaments.schedules.swiss import SwissConfig

AnySchedule = (
    RoundRobinConfig
    | GauntletConfig
    | FocalConfig
    | SwissConfig
    | KnockoutConfig
    | LadderConfig
    | ActiveConfig
    | BestConfig
    | SprtConfig
)
KINDS = (
    "round_robin",
    "gauntlet",
    "focal",
    "swiss",
    "knockout",
    "ladder",
    "active",
    "best",
    "sprt",
)


def _named(section: Any) -> Any:
    """Let a kind alone stand for its section; raises ValueError for a kind that there is not."""
    if isinstance(section, str):
        section = {"kind": section}
    if isinstance(section, dict):
        kind = section.get("kind")
        if kind not in KINDS:
            hint = nearest(kind, KINDS) if isinstance(kind, str) else ""
            raise ValueError(f"expected a kind of {', '.join(KINDS)}, got {written(kind)}{hint}")
    return section


ScheduleConfig = Annotated[AnySchedule, Field(discriminator="kind"), BeforeValidator(_named)]
