"""The grammar of configurations: strict schemas, read from YAML, changed by `--set a.b=c`, frozen once read.

A default lives in its schema and only there; an unknown key is an error that names the nearest one.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from games.errors import UserError, nearest, written
from games.references import rejoin, wrapped
from marl.base import shipped, yaml
from marl.base.faults import MISSING, UNKNOWN, Fault, KeyPath, first_fault
from marl.base.files import read_text
from marl.base.origin import NOWHERE, Change, Origin

# Names that other frameworks use, and the names here: of keys of a config, and of settings of algorithms.
_KEYS = {
    "env": "game",
    "environment": "game",
    "algo": "algorithm",
    "n_envs": "num_envs",
    "n_steps": "rollout_length",
    "num_steps": "rollout_length",
    "timesteps": "steps",
    "total_timesteps": "steps",
    "max_steps": "steps",
}
_SETTINGS = {
    "lr": ("learning_rate", "critic_learning_rate"),
    "batch_size": ("minibatch_size", "batch_episodes"),
    "buffer_size": ("replay_episodes", "replay_positions"),
    "discount": ("gamma",),
    "gae": ("gae_lambda",),
    "td_lambda": ("gae_lambda",),
    "gae_lambda": ("td_lambda",),
    "ent_coef": ("entropy_coefficient",),
    "entropy_coef": ("entropy_coefficient",),
    "clip_range": ("clip",),
    "n_epochs": ("epochs",),
    "num_simulations": ("simulations",),
}


@dataclass(frozen=True)
class InOldRecords:
    """The value that a field has in records without its key: `literal: Annotated[bool, InOldRecords(True)] = False`.

    A record is what a run wrote: its config.yaml, its checkpoints. It has every key that existed then, so a key that it
    lacks came later, and the run behaved as this value says. Fields that came with the behaviour that their default
    describes need none. Not checked against the field's type.
    """

    value: Any


class Frozen(BaseModel):
    """A part of a configuration: no unknown keys, no changes, no number that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _as_in_old_records(self, info: ValidationInfo) -> Self:
        """Give fields that a record lacks the values that their InOldRecords say."""
        if is_record(info):
            lacks = type(self).model_fields.keys() - self.model_fields_set
            fields = {name: type(self).model_fields[name] for name in lacks}
            vars(self).update(
                (name, mark.value)
                for name, field in fields.items()
                for mark in field.metadata
                if isinstance(mark, InOldRecords)
            )
        return self


class WholeConfig(Frozen):
    """A configuration that is a file of its own."""

    kind: ClassVar[str] = ""  # of the shipped configs that this schema reads (marl/base/shipped.py)
    _origin: Origin = PrivateAttr(default=NOWHERE)

    @property
    def origin(self) -> Origin:
        """Where its values come from."""
        return self._origin


def is_record(info: ValidationInfo) -> bool:
    """Say whether what is validated was written by a run (`validate(..., record=True)`)."""
    return bool(info.context and info.context.get("record"))


Schema = TypeVar("Schema", bound=BaseModel)
Config = TypeVar("Config", bound=WholeConfig)
_NO_DEFAULT = object()  # equal to no JSON data
LARGEST = 3.4e38  # number with a fraction: torch computes in float32
# Numbers of things that are computed at once or kept in memory: libraries count them in 32 bits.
Count = Annotated[int, Field(ge=0, lt=2**31)]
Size = Annotated[int, Field(gt=0, lt=2**31)]


def _rejoin(parts: Any) -> Any:
    """Rejoin references of a list that YAML has split at the commas in them: [mcts(simulations=20, c=1)]."""
    return tuple(rejoin(parts)) if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else parts


def _entries(value: Any) -> Any:
    """Return a list as a tuple, which pydantic does only for JSON, not below a section that a validator has read."""
    return tuple(value) if isinstance(value, list) else value


Sizes = Annotated[tuple[Size, ...], BeforeValidator(_entries)]
References = Annotated[tuple[str, ...], BeforeValidator(_rejoin)]


def _named(section: Any) -> Any:
    """Let an algorithm's name alone stand for its section."""
    return {"name": section} if isinstance(section, str) else section


Section = Annotated[dict[str, Any], BeforeValidator(_named)]  # an algorithm's name, and its settings


class OfGame(WholeConfig):
    """A configuration that names a game; `wrappers` are appended to it."""

    game: str
    wrappers: References = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _wrap(self) -> Self:
        vars(self).update(game=wrapped(self.game, self.wrappers), wrappers=())
        return self

    def blame_game(self) -> AbstractContextManager[None]:
        """Say of a UserError about the game where the game and its wrappers were written."""
        return self.origin.blame(("game",), ("wrappers",))


FolderName = Annotated[str, Field(pattern=r"^[\w+-][\w.+-]*$")]


def load(schema: type[Config], path: Path, changes: Sequence[Change] = (), *, record: bool = False) -> Config:
    """Read a config file, or the shipped config of that name, and apply changes.

    `record`: a run wrote it (`validate`). Raises UserError in one sentence for whatever does not fit.
    """
    path = shipped.find(path, schema.kind)
    if os.path.isdir(path):
        raise UserError(f"expected a config file, got the folder '{path}'; {_instead_of(path)}")
    try:
        text = read_text(path, yaml.MOST)
        data = yaml.read(text)
    except FileNotFoundError:
        hint = shipped.hint(path, schema.kind)
        raise UserError(f"expected a config file, got '{path}', which does not exist; {hint}") from None
    except yaml.YamlError as error:
        raise UserError(f"the config file '{path}' is not YAML: {error}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"the config file '{path}' could not be read: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"expected keys and values in '{path}', got {'nothing' if data is None else written(data)}")
    shipped.refuse_other(data, path, schema.kind)
    return build(schema, Origin(f"'{path}'", data, text, tuple(changes)), record=record)


def _instead_of(folder: Path) -> str:
    """Return what to type instead of a folder."""
    if (folder / "config.yaml").is_file():
        return f"to go on with the run in it, type {folder}/config.yaml --run-dir {folder} --resume"
    return "name a file, or a shipped config: `marl configs` lists them"


def build(schema: type[Config], origin: Origin, *, record: bool = False) -> Config:
    """Return the config that stands in a source, with the changes to it; raises UserError for what does not fit."""
    config = validate(schema, change(origin.data, origin.changes), origin, record=record)
    config._origin = origin
    return config


def change(data: dict[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """Return a copy of `data` with changes applied."""
    for one in changes:
        data = _changed(data, one.path, one)
    return data


def _changed(data: Any, path: Sequence[str], change: Change) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UserError(f"{change.name} reaches '{path[0]}' inside {written(data)}, which has no keys")
    head, *rest = path
    inner = data.get(head, {})
    if head in ("algorithm", "learner"):
        inner = _named(inner)
    return data | {head: _changed(inner, rest, change) if rest else change.value}


def complete(config: Config, given: dict[str, Any], record: Config) -> Config:
    """Return a config in which all that is not `given`, the keys that its user set, is as in a record."""
    whole = validate(type(config), completed(given, record.model_dump(mode="json")), config.origin)
    whole._origin = config.origin
    return whole


def completed(data: Any, record: Any) -> Any:
    """Return data with the keys that it leaves open as they are in a record: in sections, and in lists of sections.

    A key is left open if it is absent or says `auto`. A section that names another algorithm than the record's is
    complete by itself.
    """
    section = _named(data)
    if isinstance(record, dict) and isinstance(section, dict) and section.get("name") == record.get("name"):
        return record | {key: completed(value, record.get(key)) for key, value in section.items()}
    if isinstance(record, list) and isinstance(data, list) and len(data) == len(record):
        return [completed(ours, theirs) for ours, theirs in zip(data, record, strict=True)]
    return record if data == "auto" and record is not None else data


def validate(schema: type[Schema], data: Any, origin: Origin, *, record: bool = False) -> Schema:
    """Check data against a schema; raises UserError for the first thing that does not fit.

    Types are strict, as in JSON: no word is a number or a truth value, and no truth value a number. Keys that a
    `record`, a file that a run wrote, does not have take the values that they had in that run (InOldRecords).
    """
    try:
        text = json.dumps(_whole(data, origin))
    except (RecursionError, TypeError, ValueError) as error:
        raise UserError(f"expected numbers, words, lists and keys in {origin.where(())}: {error}") from error
    try:
        return schema.model_validate_json(text, strict=True, context={"record": record})
    except ValidationError as error:
        raise UserError(_complaint(schema, first_fault(error, data), data, origin)) from None
    except UserError as error:  # of a validator that reads what a value names
        raise UserError(f"{origin.subject((), all_below=True)}: {error}") from error


def _complaint(schema: type[BaseModel], fault: Fault, data: Any, origin: Origin) -> str:
    """Return the sentence about a fault in data."""
    if fault.kind == UNKNOWN:
        hint = _near(str(fault.path[-1]), _fields(schema, fault.path[:-1], data))
        return f"unknown key '{fault.key}' in {origin.where(fault.path)}{hint}"
    if fault.kind == MISSING:
        return f"the key '{fault.key}' is missing in {origin.where(fault.path[:-1])}; add it"
    return f"{origin.subject(fault.path, all_below=fault.by_validator)}: {fault.text}"


def _whole(data: Any, origin: Origin, path: KeyPath = ()) -> Any:
    """Return data in which floats without a fraction are integers: `steps: 1e6`.

    Raises UserError for an integer beyond 64 bits, and for a float beyond torch's float32.
    """
    if isinstance(data, dict):
        return {key: _whole(value, origin, (*path, key)) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_whole(value, origin, (*path, place)) for place, value in enumerate(data)]
    if (isinstance(data, int) and abs(data) >= 2**64) or (isinstance(data, float) and LARGEST < abs(data) < math.inf):
        raise UserError(f"{origin.subject(path)}: the number {written(data)} is too large; name a smaller one")
    return int(data) if isinstance(data, float) and 1 <= abs(data) < 2**53 and data.is_integer() else data


def _near(key: str, known: Sequence[str]) -> str:
    """Return a hint for an unknown key: the key that was meant, or all known keys."""
    meant = [word for word in (_KEYS.get(key, ""), *_SETTINGS.get(key, ())) if word in known]
    if meant:
        return f"; did you mean '{meant[0]}'?"
    settings = {key: words[0] for key, words in _SETTINGS.items()} | {w: w for ws in _SETTINGS.values() for w in ws}
    if key in settings and "algorithm" in known:
        return f"; the algorithm's settings stand in its section: algorithm: {{name: ..., {settings[key]}: ...}}"
    return nearest(key, known) or f"; known keys: {', '.join(known)}"


def _fields(schema: type[BaseModel], path: KeyPath, data: Any) -> list[str]:
    """Return the known keys of the part of a schema at `path`; of several kinds of sections, those of the data's."""
    for part in path:
        data = data[part]
        field = schema.model_fields.get(str(part))
        inner = field.annotation if field else None
        kinds = [kind for kind in (inner, *get_args(inner)) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        name = field.discriminator if field else None
        same = [kind for kind in kinds if isinstance(name, str) and kind.model_fields[name].default == data.get(name)]
        schema = (same or kinds or [schema])[0]
    return list(schema.model_fields)


def distinct(data: Any, schema: type[BaseModel], settings: Callable[[str], type[BaseModel]]) -> Any:
    """Return a config's JSON data without the keys that are at their defaults, in sections and in lists of sections.

    So a key that a schema gets later changes nothing, where its default is what was done before. `settings` returns
    the schema of an algorithm, by its name.
    """
    if not isinstance(data, dict):
        return data
    found = {}
    for key, value in data.items():
        field = schema.model_fields.get(key)
        if field is None:
            found[key] = value
            continue
        short, default = (_distinct(each, field, settings) for each in (value, _default_of(field)))
        if short != default:
            found[key] = short
    return found


def _distinct(value: Any, field: FieldInfo, settings: Callable[[str], type[BaseModel]]) -> Any:
    """Return a field's value without the defaults of the sections in it."""
    if isinstance(value, list):
        return [_distinct(each, field, settings) for each in value]
    if not isinstance(value, dict):
        return value
    if _named in (getattr(mark, "func", None) for mark in _marks(field)):
        name, own = value["name"], {key: each for key, each in value.items() if key != "name"}
        return {"name": name, **distinct(own, settings(name), settings)}
    inner = [kind for kind in _kinds(field.annotation) if issubclass(kind, BaseModel)]
    return distinct(value, inner[0], settings) if len(inner) == 1 else value


def _default_of(field: FieldInfo) -> Any:
    """Return a field's default as JSON data, or _NO_DEFAULT."""
    return _NO_DEFAULT if field.is_required() else to_jsonable_python(field.get_default(call_default_factory=True))


def _marks(field: FieldInfo) -> Iterator[Any]:
    """Yield the marks of a field and of the parts of its annotation."""
    yield from field.metadata
    parts = [field.annotation]
    while parts:
        part = parts.pop()
        yield from getattr(part, "__metadata__", ())
        parts += [inner for inner in get_args(part) if not isinstance(inner, str)]


def _kinds(annotation: Any) -> Iterator[type]:
    """Yield the classes in an annotation."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def dump(config: BaseModel) -> str:
    """Return a config as YAML: every value, defaults included."""
    return yaml.write(config.model_dump(mode="json"))
