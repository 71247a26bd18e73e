"""Where the figures of a cell are read: a file that the claim's commands have written, and a place in it.

Keys of a source; any other key is a word that stands for `{key}` in the others, as {row}, {column} and {seed} do:

    from     the file, in the claim's folder; with {seed} in it one for each seed
    take     of JSON, a path: `evaluations.0.return_mean.1`, `ratings[agent=random].elo`, `return_mean.mean` (or sum,
             min, max, len); of CSV (.csv) the title of a column; a list of them is several figures
    ci95     the paths of the half widths, where the file has them
    where    of JSON lines (.jsonl) and CSV, keys and their values: the lines that count; each of a list gives
             its figures in turn
    step     of .jsonl, the first of these lines whose step is not below it; the last line without it
    last     of .jsonl, the mean over the lines of this many last steps
    column   of a printed Markdown table (.md), the title of the column (result, if it has none), and
    row      the labels of the row, with ` | ` between them; both are those of the cell unless said otherwise
    after    the first label of a row, behind which that row is looked for
    find     of any other text, a regular expression whose groups are the figures; of several matches the last
    scale    a factor for the figures, such as 0.01667 from seconds to minutes
    seeds    the number of seeds, or a list, where they are others than the claim's
    within   how far a figure without an interval may be from the claimed one: a share of it, `10 %`, or `0.05`;
             of a list, each for one figure of the cell, and an empty one says nothing
"""

import csv
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError
from marl.base.files import read_text
from tests.claims import cells
from tests.claims.cells import Reading

KEYS = {
    "from",
    "take",
    "ci95",
    "where",
    "step",
    "last",
    "column",
    "row",
    "after",
    "figure",
    "find",
    "scale",
    "within",
    "seeds",
}
TITLES = ("measured", "result", "target")  # of the tables of tests/benchmarks/timing.py, which some print without them
_FOLDS = {"mean": np.mean, "sum": np.sum, "min": np.min, "max": np.max, "len": len}
_STEP = re.compile(r"([^.\[\]]+)|\[([^=\]]+)=([^\]]*)\]")


@dataclass(frozen=True)
class Source:
    """Where figures are read, with all words in place but {seed}."""

    file: str
    take: tuple[str, ...] = ()
    ci95: tuple[str, ...] = ()
    where: tuple[Mapping[str, Any], ...] = ()
    step: float | None = None
    last: float | None = None
    column: str = ""
    row: str = ""
    after: str = ""
    find: str = ""
    scale: float = 1.0
    within: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()  # if they are others than the claim's

    @property
    def by_seed(self) -> bool:
        """Whether each seed has a file of its own."""
        return "{seed}" in self.file


def placeholders(text: str) -> set[str]:
    """Return the words that stand in braces."""
    return set(re.findall(r"\{([a-z_]+)\}", text))


def source(said: Mapping[str, Any], labels: Mapping[str, str] | None = None, used: Collection[str] = ()) -> Source:
    """Return what a table, a row and a column say together; raises UserError where something is missing or unknown.

    `labels` are those of the cell, `row` and `column`. `used` are words that stand in braces elsewhere in the table.
    """
    labels = labels or {}
    escaped = {key: re.escape(label) for key, label in labels.items()}  # in a regular expression
    words = {key: str(value) for key, value in said.items() if key not in KEYS} | {**labels}
    said = {**labels, **said}
    known = {"seed", "row", "column", *placeholders(str(said)), *used}
    if unused := [key for key in words if key not in known]:
        raise UserError(
            f"the key '{unused[0]}' is unknown, and no other key has {{{unused[0]}}} in it; mend the source"
        )

    def put(value: Any, words: Mapping[str, str] = words) -> Any:
        if isinstance(value, str):
            return re.sub(r"\{([a-z_]+)\}", lambda match: words.get(match[1], match[0]), value)
        if isinstance(value, list):
            return tuple(map(put, value))
        return {key: put(each) for key, each in value.items()} if isinstance(value, dict) else value

    file = put(said.get("from", ""))
    if not file:
        raise UserError("the key 'from' is missing: the file from which its figures are read; add it")
    if missing := placeholders(file) - {"seed"}:
        raise UserError(f"nothing says what {{{missing.pop()}}} in '{file}' is; add the key to its row or column")
    kind = {".json": "take", ".jsonl": "take", ".csv": "take", ".md": "row"}.get(Path(file).suffix, "find")
    if kind not in said:
        raise UserError(f"the key '{kind}' is missing, by which figures are read from '{file}'; add it")
    take, ci95 = (as_tuple(put(said.get(key, ()))) for key in ("take", "ci95"))
    if ci95 and len(ci95) != len(take):
        raise UserError(f"expected as many paths in 'ci95' as in 'take', {len(take)}, got {len(ci95)}")
    rest = {
        key: put(said[key], words | escaped if key == "find" else words)
        for key in ("where", "step", "last", "column", "row", "after", "find", "scale", "within", "seeds")
        if key in said
    }
    if missing := placeholders(f"{take} {ci95} {rest}") - {"seed"}:
        raise UserError(f"nothing says what {{{missing.pop()}}} is; add the key to its row or column")
    if isinstance(rest.get("where"), Mapping):
        rest["where"] = (rest["where"],)
    if isinstance(rest.get("seeds"), int):
        rest["seeds"] = tuple(range(rest["seeds"]))
    if "within" in rest:
        rest["within"] = (
            tuple(map(str, rest["within"])) if isinstance(rest["within"], tuple) else (str(rest["within"]),)
        )
    if isinstance(rest.get("step"), str):
        rest["step"] = next((figure.values[0] for figure in cells.figures(rest["step"])), None)
    return Source(file, take, ci95, **rest)


def as_tuple(value: Any) -> tuple[str, ...]:
    """Return one path, or several."""
    return (value,) if isinstance(value, str) else tuple(value)


def readings(source: Source, folder: Path, seeds: Sequence[int]) -> list[Reading]:
    """Read the figures of a cell, each by seed if every seed has a file; raises UserError that names the file."""
    seeds = source.seeds or seeds
    files = [source.file.replace("{seed}", str(seed)) for seed in seeds] if source.by_seed else [source.file]
    found = [_of_file(source, folder / file) for file in files]
    if len({len(each) for each in found}) > 1:
        raise UserError(f"'{source.file}' has other numbers of figures for other seeds; mend the source")
    joined = [
        Reading(tuple(value for each in same for value in each.values), same[0].half_width if len(same) == 1 else None)
        for same in zip(*found, strict=True)
    ]
    return [
        Reading(tuple(source.scale * v for v in each.values), each.half_width and source.scale * each.half_width)
        for each in joined
    ]


def _of_file(source: Source, path: Path) -> list[Reading]:
    try:
        text = read_text(path)
        reader = {".json": _json, ".jsonl": _json_lines, ".csv": _csv, ".md": _printed_table}.get(path.suffix, _found)
        return reader(source, text)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        what = f"no {error}" if isinstance(error, KeyError | IndexError) else error
        raise UserError(
            f"figures could not be read from '{path}': {what}; mend the source, or run its commands"
        ) from error


def _json(source: Source, text: str) -> list[Reading]:
    return _taken(source, json.loads(text))


def _json_lines(source: Source, text: str) -> list[Reading]:
    return _of_all(source, [json.loads(line) for line in text.splitlines() if line])


def _csv(source: Source, text: str) -> list[Reading]:
    return _of_all(source, [*csv.DictReader(text.splitlines())])


def _of_all(source: Source, logged: list[dict[str, Any]]) -> list[Reading]:
    return [reading for wanted in source.where or ({},) for reading in _of_lines(source, logged, wanted)]


def _of_lines(source: Source, logged: list[dict[str, Any]], wanted: Mapping[str, Any]) -> list[Reading]:
    lines = [line for line in logged if all(str(line.get(key)) == str(value) for key, value in wanted.items())]
    if source.last is not None:
        rows = [_taken(source, line) for line in lines if line["step"] > lines[-1]["step"] - source.last]
        return [Reading((float(np.mean([each.values[0] for each in column])),)) for column in zip(*rows, strict=True)]
    if source.step is not None:
        return _taken(source, next(line for line in [*lines, {}] if not line or line["step"] >= source.step))
    return _taken(source, lines[-1])


def _taken(source: Source, data: Any) -> list[Reading]:
    return [
        Reading((float(_at(data, path)),), float(_at(data, half)) if half else None)
        for path, half in zip(source.take, source.ci95 or [""] * len(source.take), strict=True)
    ]


def _at(data: Any, path: str) -> Any:
    """Return what stands at a path; raises KeyError or IndexError with the step that leads nowhere."""
    if isinstance(data, dict) and path in data:  # also a key with dots, such as `cooperation.CC`
        return data[path]
    step = _STEP.match(path)
    if step is None:
        raise KeyError(path)
    name, key, wanted = step.groups()
    if key:
        inner = next((each for each in data if str(each[key]) == wanted), None)
        if inner is None:
            raise KeyError(f"{key}={wanted}")
    elif isinstance(data, list):
        inner = _FOLDS[name](data) if name in _FOLDS else data[int(name)]
    else:
        inner = data[name]
    rest = path[step.end() :].removeprefix(".")
    return _at(inner, rest) if rest else inner


def _printed_table(source: Source, text: str) -> list[Reading]:
    """Read a cell of a Markdown table that a command printed, by its labels, of the first table that has it."""
    titles: tuple[str, ...] = ()
    begun = not source.after
    lines = [*text.splitlines(), ""]
    for line, below in pairwise(lines):
        row = _cells(line)
        if not row or _is_rule(row):
            titles = titles if row else ()
        elif not titles and _is_rule(_cells(below)):
            titles = row
        else:
            titles = titles or TITLES
            if begun and source.column in titles and " | ".join(row).startswith(f"{source.row} |"):
                return [_read(figure) for figure in cells.figures(row[titles.index(source.column)])]
            begun |= row[0] == source.after
    raise KeyError(f"cell '{source.row} | {source.column}'")


def _cells(line: str) -> tuple[str, ...]:
    """Return the cells of a line of a Markdown table; none of another line."""
    return tuple(map(cells.plain, re.split(r"(?<!\\)\|", line)[1:-1])) if line.startswith("|") else ()


def _is_rule(row: Sequence[str]) -> bool:
    return bool(row) and all(re.fullmatch(":?-+:?", cell) for cell in row)


def _found(source: Source, text: str) -> list[Reading]:
    matches = list(re.finditer(source.find, text, re.MULTILINE))
    if not matches:
        raise KeyError(f"match of '{source.find}'")
    return [_read(figure) for group in matches[-1].groups() for figure in cells.figures(group)]


def _read(figure: cells.Figure) -> Reading:
    if figure.kind == "estimate":
        return Reading(figure.values[:1], figure.values[1])
    return Reading(figure.values)
