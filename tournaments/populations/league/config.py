"""The config of a league: `method: league`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from games.errors import UserError, nearest, written
from marl.base.schema import Count, FolderName, Frozen, References, Section, Size
from marl.training.config import one_folder_each
from tournaments.populations.league.matchmaking import Rule, read_rule
from tournaments.populations.psro.config import BEST
from tournaments.populations.settings import CellsConfig, InRounds

MAIN, MAIN_EXPLOITER, LEAGUE_EXPLOITER = "main", "main_exploiter", "league_exploiter"
START = "start"  # the role of frozen members that never trained
ROLES = (MAIN, MAIN_EXPLOITER, LEAGUE_EXPLOITER, START)
Share = Annotated[float, Field(ge=0, le=1)]


class LeagueGamesConfig(CellsConfig):
    """Games are added until it is known whether a learner beats its rivals, and so may freeze."""

    at_least: Annotated[Size, Field(ge=2)] = 32  # of a learner's newest checkpoint with each rival
    per_round: Size = 128  # with a rival in one round; what is then open counts as not beaten
    at_most: Size = 1024  # with a rival; what is then open counts by its mean
    batch: Size = 32

    @property
    def limits(self) -> tuple[str, ...]:
        return "per_round", "at_most"


class RolesConfig(Frozen):
    """How many learners each role has."""

    main: Count = 0
    main_exploiter: Count = 0
    league_exploiter: Count = 0

    @property
    def learners(self) -> dict[str, str]:
        """The role of each learner, by its id."""
        return {f"{role}-{k}": role for role, count in self.model_dump().items() for k in range(count)}


class CustomConfig(Frozen):
    """A learner with a role of its own, which is called as it is."""

    opponents: str  # the rule by which it meets frozen members (matchmaking.py)
    over: References | None = None  # the roles of these members; all by default
    latest: Share = 0.0  # the share of episodes in which it meets itself as it is
    freeze_every: Size = 4  # rounds
    reset: Literal["never", "always"] | Share = "never"  # to the weights of its start, when it has frozen
    learner: Section | None = None  # the league's by default

    @field_validator("opponents")
    @classmethod
    def _is_rule(cls, text: str) -> str:
        try:
            read_rule(text)
        except UserError as error:
            raise ValueError(str(error)) from error
        return text

    @property
    def rule(self) -> Rule:
        """The rule that `opponents` names."""
        return read_rule(self.opponents)

    def meets(self, role: str) -> bool:
        """Whether it meets frozen members of a role."""
        return self.over is None or role in self.over

    @property
    def reset_chance(self) -> float:
        """How likely it starts again when it has frozen."""
        return {"never": 0.0, "always": 1.0}[self.reset] if isinstance(self.reset, str) else self.reset


class LeagueConfig(InRounds):
    """A league: learners that meet each other's frozen past, each by its role."""

    method: Literal["league"]
    learner: Section | None = None  # the algorithm of all learners that name none of their own
    roles: RolesConfig = RolesConfig()
    members: dict[FolderName, CustomConfig] = Field(default_factory=dict)
    start: References = ()  # members that are frozen from the beginning: scripted agents, searches, checkpoints
    anchors: References = ("random",)  # who rates the members, and is never trained against
    steps: PositiveInt = 2_000_000  # environment steps of each learner
    round: PositiveInt = 100_000  # environment steps of a learner in a round
    min_rounds: Size = 2  # before a learner freezes; after twice as many it does whatever it has beaten
    present: Size = 8  # opponents of a learner in a round
    games: LeagueGamesConfig = LeagueGamesConfig()

    @property
    def rounds(self) -> int:
        """How many rounds each learner trains; the last may be shorter."""
        return -(-self.steps // self.round)

    @property
    def learners(self) -> dict[str, str]:
        """The role of each learner, by its id."""
        return self.roles.learners | {name: name for name in self.members}

    def algorithm(self, role: str) -> dict[str, Any] | None:
        """Return the algorithm of a role's learners, with its settings."""
        own = self.members[role].learner if role in self.members else None
        return own or self.learner

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.round > self.steps:
            raise ValueError(f"expected round to be at most steps, got round: {self.round}, steps: {self.steps}")
        if leaked := sorted(set(self.anchors) & set(self.start)):
            raise ValueError(f"anchors are never trained against: '{leaked[0]}' is in 'start' too; take it out of one")
        self._check_learners()
        return self

    def _check_learners(self) -> None:
        if not self.learners:
            raise ValueError("a league needs learners; name some: roles: {main: 1}, or members")
        if self.roles.main_exploiter and not self.roles.main:
            raise ValueError("a main_exploiter needs a main to train against; add one to roles: main: 1")
        one_folder_each([*self.roles.learners, *self.members])
        for name, role in self.learners.items():
            _check_algorithm(name, self.algorithm(role))
        for name, member in self.members.items():
            self._check_member(name, member)

    def _check_member(self, name: str, member: CustomConfig) -> None:
        if name in ROLES:
            raise ValueError(f"'{name}' is the name of a role; rename the member, or write roles: {{{name}: 1}}")
        known = [*ROLES, *self.members]
        for role in member.over or ():
            if role in ("anchor", "anchors"):
                raise ValueError(f"anchors are never trained against, got '{role}' in 'over' of '{name}'; leave it out")
            if role not in known:
                raise ValueError(
                    f"expected 'over' of '{name}' to name roles or members ({', '.join(known)}), got '{role}'"
                    f"{nearest(role, known)}"
                )


def _check_algorithm(name: str, section: dict[str, Any] | None) -> None:
    """Raise ValueError unless a learner has an algorithm that can train on."""
    if section is None:
        raise ValueError(f"'{name}' has no algorithm; add learner: {{name: ippo}} for all, or one of its own")
    if "name" not in section:
        raise ValueError(f"expected the key 'name' of an algorithm for '{name}', got {written(section)}; add it")
    if section["name"] == BEST:
        raise ValueError(f"{BEST} is computed once and does not train on, so '{name}' cannot learn by it; use psro")
