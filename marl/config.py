"""Configuration: one strict schema, read from YAML, changed by `--set a.b=c`, frozen once read.

A default lives in its schema and only there; an unknown key is an error that names the nearest one.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from games.errors import UserError, nearest
from games.registry import rejoin, wrapped
from marl.engine import Engine


class Frozen(BaseModel):
    """A part of a configuration: no unknown keys, no changes, no number that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Schema = TypeVar("Schema", bound=BaseModel)


def _rejoin(parts: Any) -> Any:
    """Put together the references of a list in which YAML has parted at their commas: [mcts(simulations=20, c=1)]."""
    return rejoin(parts) if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else parts


References = Annotated[tuple[str, ...], BeforeValidator(_rejoin)]


class Opponents(Frozen):
    """Who else plays while training: frozen agents, in a share of the environments, in every seat by turns."""

    agents: References = ()
    share: float = Field(default=0.5, ge=0, le=1)


class Evaluation(Frozen):
    """The fixed panel against which a run is evaluated at its start and at every checkpoint; `self` is self-play."""

    panel: References = ("random",)
    seeds: PositiveInt = 100  # each is played from every seat
    max_steps: PositiveInt | None = None  # after these an episode is cut; `marl.rollout.most_steps` by default


class OfGame(Frozen):
    """A part of a configuration that names a game; `wrappers` are written behind it."""

    game: str
    wrappers: References = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _wrap(self) -> Self:
        vars(self).update(game=wrapped(self.game, self.wrappers), wrappers=())
        return self


class TrainConfig(OfGame):
    """One training run."""

    algorithm: dict[str, Any]  # name, and the settings of that algorithm
    seed: int = Field(default=0, ge=0, lt=2**63)
    steps: PositiveInt = 1_000_000
    stretch: PositiveInt = 100_000  # steps between two checkpoints
    num_envs: PositiveInt = 64
    env_workers: int = Field(default=0, ge=0)  # processes that step the environments; none: the run does it itself
    rollout_workers: int = Field(default=0, ge=0)  # processes that play while the learner learns; none: by turns
    rollout_length: PositiveInt | None = None  # steps of each environment in one rollout
    threads: PositiveInt = 1
    keep: PositiveInt | None = None  # checkpoints to keep, the newest ones; all by default
    opponents: Opponents = Opponents()
    evaluation: Evaluation = Evaluation()


class MemberConfig(Frozen):
    """One member of a population: a training config, and what differs from it."""

    train: str
    set: dict[str, Any] = {}


FolderName = Annotated[str, Field(pattern=r"^[\w+-][\w.+-]*$")]


class PopulationConfig(Frozen):
    """Several training runs, side by side."""

    members: dict[FolderName, MemberConfig] = Field(min_length=1)
    engine: Engine = "processes"
    workers: PositiveInt = 2


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: 1e-4 is a float; PyYAML's own rule reads a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def read_yaml(text: str) -> Any:
    """Parse YAML; raises yaml.YAMLError."""
    try:
        return yaml.load(text, _Loader)  # a subclass of SafeLoader
    except ValueError as error:  # a date that is none, such as 2020-13-45
        raise yaml.YAMLError(str(error)) from error


def load(schema: type[Schema], path: Path, sets: Sequence[str] = ()) -> Schema:
    """Read a config file and apply `a.b=c` changes; raises UserError in one sentence for whatever does not fit."""
    try:
        data = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        siblings = [str(p) for p in path.parent.glob("*.yaml")]
        raise UserError(
            f"expected a config file, got '{path}', which does not exist{nearest(str(path), siblings)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the config file '{path}' could not be read: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"the config file '{path}' is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"expected keys and values in '{path}', got {type(data).__name__}")
    return validate(schema, change(data, sets), str(path))


def change(data: dict[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `data` with `a.b=c` changes applied."""
    for assignment in sets:
        path, equals, value = assignment.partition("=")
        if not equals or not path.strip():
            raise UserError(f"expected --set a.b=c, got '{assignment}'")
        try:
            data = _changed(data, path.strip().split("."), read_yaml(value))
        except yaml.YAMLError as error:
            raise UserError(f"the value of --set {path} is not YAML: {value!r}") from error
    return data


def _changed(data: Any, path: list[str], value: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UserError(f"--set reaches '{path[0]}' inside {data!r}, which has no keys")
    head, *rest = path
    return data | {head: _changed(data.get(head, {}), rest, value) if rest else value}


def validate(schema: type[Schema], data: dict[str, Any], where: str) -> Schema:
    """Check data against a schema; raises UserError for the first thing that does not fit."""
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _fields(schema, first["loc"][:-1])
            hint = nearest(str(first["loc"][-1]), known) or f"; known keys: {', '.join(known)}"
            raise UserError(f"unknown key '{key}' in {where}{hint}") from None
        if first["type"] == "missing":
            raise UserError(f"the key '{key}' is missing in {where}; add it") from None
        raise UserError(f"'{key}' in {where}: {first['msg']}, got {first['input']!r}") from None


def _fields(schema: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the known keys where `path` leads."""
    for part in path:
        field = schema.model_fields.get(str(part))
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            schema = inner
        elif field and any(hasattr(a, "model_fields") for a in getattr(inner, "__args__", ())):
            schema = next(a for a in inner.__args__ if hasattr(a, "model_fields"))  # type: ignore[union-attr]
    return list(schema.model_fields)


def dump(config: BaseModel) -> str:
    """Return a config as YAML: every value, defaults included."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
