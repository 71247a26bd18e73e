"""Changes of data, YAML texts, references, files and stores. Each draws from `rng` alone and says what it did."""

import hashlib
import json
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.hostile import ARGUMENTS, JSON, LETTERS, PATHS, VALUES, WORDS


class Raw(str):
    """Text that stands in a document as it is."""


def written(value: Any) -> str:
    """Return data as YAML in its flow style, with `Raw` texts as they are; JSON is what comes of JSON data."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)}: {written(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(entry) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the containers and keys of everything inside `data`."""
    for key in list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from places(data[key])


def change_data(rng: Random, data: Any, values: tuple[str, ...], known: dict[str, list[str]]) -> str:
    """Change one thing within `data`; `known` are more keys that may be set: of `data` itself, and of its sections."""
    inside, key = rng.choice(list(places(data)) or [(data, "x")])
    what = rng.choice(("set", "set", "set", "known", "known", "delete", "rename", "add", "wrap", "move"))
    value = Raw(rng.choice(values))
    if what == "known" and known:
        section = rng.choice(sorted(known))
        inside = data if not section else data.get(section)
        key = rng.choice(known[section])
        what = "set" if isinstance(inside, dict) else "nothing"
    if what in ("set", "known"):
        inside[key] = value
    elif what == "delete":
        del inside[key]
    elif what == "rename" and isinstance(inside, dict):
        inside[near(rng, str(key))] = inside.pop(key)
    elif what == "add" and isinstance(inside, dict):
        inside[rng.choice((Raw(rng.choice(values)), rng.choice(WORDS)))] = value
    elif what == "wrap":
        inside[key] = rng.choice(([inside[key]], {"x": inside[key]}, str(inside[key]), [inside[key]] * 3))
    elif what == "move":
        other, at = rng.choice(list(places(data)))
        inside[key] = json.loads(json.dumps(other[at]))
    return f"{what} {key!s:.40} {value:.60}"


def near(rng: Random, word: str) -> str:
    """Return a word with a letter changed."""
    at = rng.randrange(len(word) + 1)
    letter = rng.choice((rng.choice(LETTERS), rng.choice("aeioxyz")))
    return rng.choice((word[:at] + letter + word[at:], word[:at] + letter + word[at + 1 :], word[:at] + word[at + 1 :]))


def change_yaml(rng: Random, text: str) -> tuple[str, str]:
    """Change a YAML text; return it, and what was done."""
    lines = text.splitlines(keepends=True) or ["\n"]
    at = rng.randrange(len(lines))
    key, _, value = lines[at].rstrip("\n").partition(": ")
    hostile = rng.choice(VALUES)
    new: dict[str, Callable[[], list[str]]] = {
        "delete": list,
        "double": lambda: [lines[at]] * 2,
        "indent": lambda: [rng.choice(("  ", " ", "\t", "- ", "? ", "# ", ": ")) + lines[at]],
        "dedent": lambda: [lines[at].lstrip()],
        "value": lambda: [f"{key}: {hostile}\n"],
        "value ": lambda: [f"{key}: {hostile}\n"],
        "value  ": lambda: [f"{key}: {hostile}\n"],
        "key": lambda: [f"{hostile}: {value}\n"],
        "anchor": lambda: [f"{key}: &a {value}\n", f"{key}x: *a\n"],
        "merge": lambda: [lines[at], f"<<: {hostile}\n"],
        "block": lambda: [f"{key}: {rng.choice('|>')}{rng.choice('+-09')}\n  {value}\n"],
        "letter": lambda: [near(rng, lines[at].rstrip("\n")) + "\n"],
        "tear": lambda: [lines[at][: rng.randrange(len(lines[at]))]],
        "document": lambda: [lines[at], rng.choice(("---\n", "...\n", "%YAML 9.9\n", "%TAG ! x\n---\n", "--- x\n"))],
        "laughs": lambda: ["a0: &a0 [x]\n", *(f"a{n}: &a{n} [{8 * f'*a{n - 1},'}]\n" for n in range(1, 9)), lines[at]],
        "self": lambda: [f"{key}: &s {{x: *s, y: [*s]}}\n"],
        "raw": lambda: [lines[at], rng.choice(("\x00", "\x7f", "\x85", "\u2028", "\ufeff", "\udcff", "\r", "\x1b[2J"))],
    }
    what = rng.choice([*new, "bom", "encoding", "empty", "whole"])
    if what == "empty":
        return rng.choice(("", "\n", "# nothing\n", "---\n", "null\n")), what
    if what == "whole":
        return hostile, f"{what} {hostile:.60}"
    if what == "bom":
        return "\ufeff" + text, what
    if what == "encoding":
        other = text.encode(rng.choice(("utf-16", "utf-32", "cp037")), "replace")
        return other.decode("utf-8", "surrogateescape"), what
    return "".join(lines[:at] + new[what]() + lines[at + 1 :]), f"{what} {lines[at]!r:.60} {hostile:.60}"


def change_reference(rng: Random, text: str) -> tuple[str, str]:
    """Change a reference by its grammar; return it, and what was done."""
    argument = f"{rng.choice(('x', 'rows', 'players', 'simulations', 'greedy', 'game', 'spec', 'venv', 'num_envs'))}="
    argument += rng.choice(ARGUMENTS)
    head, _, tail = text.partition("(")
    inner, equals, _ = tail.partition("=")
    changed: dict[str, Callable[[], str]] = {
        "letter": lambda: near(rng, text),
        "letter ": lambda: near(rng, text),
        "argument": lambda: f"{head}({argument})",
        "argument ": lambda: f"{head}({argument})",
        "more": lambda: f"{head}({argument}, {tail or ')'}",
        "value": lambda: f"{head}({inner}={rng.choice(ARGUMENTS)})" if equals else f"{text}={rng.choice(ARGUMENTS)}",
        "value ": lambda: f"{head}({inner}={rng.choice(ARGUMENTS)})" if equals else f"{text}({rng.choice(ARGUMENTS)})",
        "brackets": lambda: f"{rng.choice('([{')}{text}{rng.choice(')]}')}",
        "deep": lambda: rng.choice((50, 5000)) * rng.choice("([{") + text,
        "nested": lambda: f"{head}(game={text})",
        "quotes": lambda: rng.choice(("'", '"')) + text + rng.choice(("'", '"', "")),
        "wrapper": lambda: f"{text} | {rng.choice(_WRAPPERS)}",
        "wrapper ": lambda: f"{text} | {rng.choice(_WRAPPERS)}({argument})",
        "wrappers": lambda: (
            text + rng.choice((" | agent_id", " |", "|x", " | team_reward")) * rng.choice((2, 30, 2000))
        ),
        "source": lambda: f"{rng.choice(_MODULES)}:{rng.choice((text, 'x', '', 'Random()', '__doc__', '__name__()'))}",
        "path": lambda: rng.choice(PATHS) + rng.choice(("", "/", f"/{text}", f"({argument})")),
        "word": lambda: rng.choice(WORDS),
        "space": lambda: rng.choice((" ", "\n", "\t")) + text + rng.choice((" ", "\n", "\x0b")),
        "tear": lambda: text[: rng.randrange(len(text) + 1)],
        "twice": lambda: rng.choice((f"{text}{text}", f"{text},{text}", f"{text}|{text}", f"{text}:{text}")),
    }
    what = rng.choice(list(changed))
    return changed[what]().replace("\x00", ""), what  # no command line can hold a zero


_WRAPPERS = ("agent_id", "team_reward", "messy", "frame_stack_v1", "x", "", "evil:Wrapper", "builtins:print", "x_v0")
_MODULES = (
    *(
        "openspiel",
        "openspeil",
        "gymnasium",
        "pettingzoo",
        "vmas",
        "jaxmarl",
        "marl.rollout.agent",
        "tests.marl.cli.test_cli",
        "evil",
    ),
    *("builtins", "json", "collections", "games.errors", "nowhere", "nowhere.at.all", "", ".", "..", "marl.", ".marl"),
)


def change_option(rng: Random, arguments: list[str], options: dict[str, tuple[str, ...]]) -> str:
    """Give one more option, or one without its value, or an argument too much."""
    if rng.random() < 0.1:
        extra = rng.choice(WORDS)
        arguments.insert(rng.randrange(len(arguments) + 1), extra)
        return f"extra {extra!r:.60}"
    option = rng.choice(sorted(options))
    given = [near(rng, option) if rng.random() < 0.1 else option]
    if options[option] and rng.random() < 0.95:
        given.append(rng.choice(options[option]))
    arguments += given
    return f"option {given!r:.80}".replace("\x00", "")


def change_file(rng: Random, path: Path) -> str:
    """Damage a file: its bytes, or what it is. It is never written through a link."""
    if path.is_symlink() or path.is_dir():
        _replace(path)
    data = path.read_bytes() if path.is_file() else b""
    what = rng.choice(("flip", "flip", "flips", "truncate", "empty", "append", "delete", "folder", "link", "zeros"))
    if what in ("flip", "flips") and data:
        damaged = bytearray(data)
        for _ in range(1 if what == "flip" else rng.randrange(2, 40)):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
    elif what == "zeros" and data:
        start = rng.randrange(len(data))
        path.write_bytes(data[:start] + bytes(min(512, len(data) - start)) + data[start + 512 :])
    elif what == "truncate":
        path.write_bytes(data[: rng.randrange(len(data) + 1)])
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "append":
        path.write_bytes(data + rng.choice((b"\0" * 9, b"x", b"}\n", b"\xff\xfe", data)))
    else:
        _replace(path)
        if what == "folder":
            path.mkdir()
        elif what == "link":
            path.symlink_to(rng.choice((path.name, "nowhere", "/dev/zero", "..", precious(path))))
    return f"{what} {path.name}"


def precious(path: Path) -> Path:
    """Return the file beside a case's folder that nothing may change."""
    return next(parent for parent in path.absolute().parents if parent.name == "case").parent / "precious"


def _replace(path: Path) -> None:
    """Remove what is at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def change_json(rng: Random, path: Path) -> str:
    """Change a field of a JSON file, or an entry of a file of JSON lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        at = rng.randrange(len(lines))
        data = json.loads(lines[at])
        next(places(data))
    except (OSError, ValueError, RecursionError, StopIteration):  # it was damaged before
        return change_file(rng, path)
    said = change_data(rng, data, JSON, {})
    path.write_text("\n".join([*lines[:at], written(data), *lines[at + 1 :], ""]), encoding="utf-8", errors="replace")
    return f"{path.name}: {said}"


def change_tensors(rng: Random, path: Path) -> str:
    """Change the header or the numbers of a safetensors file."""
    data = path.read_bytes() if path.is_file() else b""
    try:
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + size])
    except (struct.error, ValueError, MemoryError, RecursionError):  # it was damaged before
        return change_file(rng, path)
    body = data[8 + size :]
    what = rng.choice(("size", "header", "nan", "field", "field", "swap", "drop"))
    if what == "size":
        path.write_bytes(struct.pack("<Q", rng.choice((0, 1, size - 1, size + 1, 2**40, 2**63, 2**64 - 1))) + data[8:])
        return f"size {path.name}"
    if what == "nan":
        path.write_bytes(data[: 8 + size] + struct.pack("<f", rng.choice((float("nan"), 1e38))) * (len(body) // 4))
        return f"nan {path.name}"
    if what in ("swap", "drop") and header:
        name = rng.choice(sorted(header))
        held = header.pop(name)
        header |= {} if what == "drop" else {near(rng, name): held}
        said = f"{what} {name}"
    elif what == "field":
        said = change_data(rng, header, (*JSON, '"F64"', '"BOOL"', "[1]", "[0, 4]", "[2147483648, 2147483648]"), {})
    text = rng.choice(JSON) if what == "header" else written(header)
    said = f"header {text:.60}" if what == "header" else said
    head = text.encode("utf-8", "replace")
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)
    return f"{path.name}: {said}"


def change_store(rng: Random, path: Path) -> str:
    """Change a store with SQL: a cell, a row, a table, what SQLite keeps beside them."""
    hostile = rng.choice((*JSON, "tic", "finished", "timeout", "illegal", "error", "person:x", "random"))
    try:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("PRAGMA journal_mode = DELETE")
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            table = rng.choice(sorted(tables))
            columns = [row[1] for row in db.execute(f"PRAGMA table_info('{table}')")]
            column = rng.choice(columns)
            cell = rng.choice((hostile, hostile, None, 0, -1, 1.5, 2**63 - 1, -(2**63), b"\xff\x00", "", float("inf")))
            key, count = columns[0], db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            one = f"{key} = (SELECT {key} FROM {table} LIMIT 1 OFFSET {rng.randrange(max(1, count))})"
            statements = {
                "cell": f"UPDATE OR IGNORE {table} SET {column} = ?1 WHERE {one}",
                "cell ": f"UPDATE OR IGNORE {table} SET {column} = ?1 WHERE {one}",
                "cell  ": f"UPDATE OR IGNORE {table} SET {column} = ?1 WHERE {one}",
                "column": f"UPDATE OR IGNORE {table} SET {column} = ?1",
                "row": f"DELETE FROM {table} WHERE {one}",
                "rows": f"DELETE FROM {table}",
                "table": f"DROP TABLE {table}",
                "more": "CREATE TABLE more (x)",
                "without": f"ALTER TABLE {table} RENAME COLUMN {column} TO x",
                "add": f"ALTER TABLE {table} ADD COLUMN extra TEXT",
                "view": f"CREATE VIEW v AS SELECT * FROM {table}",
                "trigger": f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN DELETE FROM games; END",
                "index": f"CREATE INDEX i ON {table} ({column})",
                "version": f"UPDATE meta SET value = '{rng.choice((*range(-1, 5), 99, 10**30, 1.5))}'"
                " WHERE key = 'schema_version'",
                "user_version": "PRAGMA user_version = 99",
                "wal": "PRAGMA journal_mode = WAL",
                "encoding": "PRAGMA application_id = 7",
            }
            what = rng.choice(list(statements))
            statement = statements[what]
            db.execute(statement, (cell,) if "?1" in statement else ())
    except (sqlite3.Error, IndexError, OverflowError):  # it was damaged before, or SQLite does not allow it
        return change_file(rng, path)
    return f"{statement:.120} [{cell!r:.60}]"


def sign(folder: Path) -> str:
    """Make a checkpoint's digests those of its files, as a stranger would who wants to be believed."""
    from marl.agents import checkpoint

    path = folder / "checkpoint.json"
    if path.is_symlink():  # perhaps to what never ends
        return "unsigned"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        about["sha256"] = {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in about["sha256"]
            if (folder / name).is_file() and not (folder / name).is_symlink()
        }
        about["digest"] = checkpoint._digest_of(about)
        path.write_bytes(checkpoint._sealed(about))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):  # it can no longer be read
        return "unsigned"
    return "signed"
