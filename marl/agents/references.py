"""What an agent's reference says: which kind of agent it names, and who may have it run.

Text that a user typed is parsed once, in `read`. Text in a file may be a stranger's and must not name code to import,
or a server to which text and a key would be sent: a population may name folders within its own, a checkpoint an
installed algorithm and a game that `registry.from_file` accepts, a run's config agents that `refuse_code` accepts.
"""

import json
import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from games import plugins
from games.errors import UserError, written
from games.references import Reference, parse
from marl.agents.built_in import CHAT, MIXTURE, OURS
from marl.agents.looking_ahead import looks_ahead, parts
from marl.base.files import absent, typed_path

MAKE = "name a run's folder, as `marl train` makes it"
ALGORITHM = "algorithm"  # the argument by which a user names the class that trained a checkpoint
PERSON = "person:"  # how the ids and references of people begin, whose games a store may hold
_OF_A_MIXTURE = re.compile(rf"{MIXTURE}\((.*)\)", re.DOTALL)
_IDENTITY = re.compile("digest:([0-9a-f]{64})")  # an agent named by its digest, wherever it lies


def read(text: str) -> Reference:
    """Parse an agent's reference; raises UserError if the text is not one.

    The name of a built-in or registered agent comes first, then a path that exists, whatever letters it has, with or
    without arguments in brackets behind it. What stands in the brackets of `mixture(...)` is a reference, too.
    """
    if mixture := _OF_A_MIXTURE.fullmatch(text.strip()):
        return Reference("", MIXTURE, (("of", mixture[1].strip()),))
    if text.strip().startswith(PERSON):
        raise UserError(
            f"expected an agent that can be asked, got {written(text)}, a person; people play by `marl web`"
        )
    path = _existing(text)
    try:
        reference = parse(text)
    except UserError:
        if path is None and "/" in text:
            what = absent(Path(text), MAKE)
            raise UserError(f"expected a checkpoint or a run folder, got '{text}', which {what}") from None
        if path is None:
            raise
        reference = Reference("", path, ())
    if not reference.source and not has_plain_name(reference):
        typed_path(path or reference.name)
    if path is None or has_plain_name(reference):
        return reference
    behind = text[len(path) :]
    return Reference("", path, parse(f"agent{behind}").arguments if behind else ())


def _existing(text: str) -> str | None:
    """Return the existing path that a text begins with: all of it, or the part before arguments in brackets."""
    brackets = [place for place, letter in enumerate(text) if letter == "("] if text.endswith(")") else []
    places = [len(text), *reversed(brackets)]
    return next((text[:place] for place in places if place and os.path.lexists(text[:place])), None)


def identified(text: str, agents: Mapping[str, str]) -> str | None:
    """Return the digest in `digest:<64 hex digits>`; None for a text of another form.

    Raises UserError where `agents`, references by digest, lack it.
    """
    named = _IDENTITY.fullmatch(text)
    if named is None:
        return None
    digest = named[1]
    if digest not in agents:
        raise UserError(
            f"'digest:{digest[:8]}...' is a member of a population, named by its digest alone; go on with `marl "
            "population`, which knows where it lies, or name its folder"
        )
    return digest


def is_foreign(text: str) -> bool:
    """Return whether a reference names a user's class, which plays in a process of its own, or looks ahead with one."""
    reference = read(text)
    return any(map(is_foreign, parts(reference))) if looks_ahead(reference) else is_class(reference)


def plays_last(text: str) -> bool:
    """Return whether a reference names an agent that may hang, or stop the run: a user's class, or a language model."""
    reference = read(text)
    if looks_ahead(reference):
        return any(map(plays_last, parts(reference)))
    return is_class(reference) or is_chat(reference)


def not_to_run(text: str) -> str:
    """Return what a reference names that only a user may: a class, which would be imported, or a server; "" for others.

    Raises UserError for what is no reference.
    """
    if _IDENTITY.fullmatch(text):
        return ""
    reference = read(text)
    if looks_ahead(reference):
        return next(filter(None, map(not_to_run, parts(reference))), "")
    if is_mixture(reference):
        reference = mixed(text, reference)
    if reference.source or ALGORITHM in dict(reference.arguments):
        return "code"
    return "a server" if is_chat(reference) else ""


def untrusted(text: str, trusted: Collection[str]) -> str:
    """Return why an agent that a file names is not run, in words that begin with a verb; "" if it may run.

    `trusted` are the references that the user has typed. Raises UserError for what is no reference.
    """
    what = "" if text in trusted else not_to_run(text)
    if not what:
        return ""
    named = "is code, which is" if what == "code" else f"asks {what}, and is"
    return f"{named} not run; if you trust it, type it yourself: --trust {shlex.quote(text)}"


def refuse_code(texts: Sequence[str], key: str, path: Path) -> None:
    """Raise UserError if one of the agents at a key of a file is not to run because that file names it."""
    for text in texts:
        if what := not_to_run(text):
            typed = shlex.quote(f"{key}={json.dumps(list(texts), ensure_ascii=False)}")
            raise UserError(
                f"'{key}' in '{path}' names {what}, {written(text)}: not run; if you trust it, type it yourself: "
                f"--set {typed}"
            )


def is_built_of_ours(reference: Reference) -> bool:
    """Return whether an agent is no user's class and no mixture, nor any of those with which it looks ahead."""
    if looks_ahead(reference):
        return all(has_plain_name(part) and is_built_of_ours(part) for part in map(read, parts(reference)))
    return not (is_class(reference) or is_mixture(reference))


def refuse_taken(name: str) -> None:
    """Raise UserError where a package registers an agent under the name of a built-in one."""
    if name in OURS and name in plugins.names(plugins.AGENTS):
        other = plugins.whose(plugins.entry_point(plugins.AGENTS, name))
        raise UserError(f"expected one agent '{name}', got two: marl's own and {other}; uninstall that one")


def has_plain_name(reference: Reference) -> bool:
    """Return whether an agent is built in, or registered by an installed package."""
    return not reference.source and (reference.name in OURS or reference.name in plugins.names(plugins.AGENTS))


def is_class(reference: Reference) -> bool:
    """Return whether a reference names a user's class."""
    return bool(reference.source) or (has_plain_name(reference) and reference.name not in OURS)


def is_chat(reference: Reference) -> bool:
    return not reference.source and reference.name == CHAT


def is_mixture(reference: Reference) -> bool:
    return not reference.source and reference.name == MIXTURE


def mixed(text: str, reference: Reference) -> Reference:
    """Return the reference in the brackets of `mixture(...)`; raises UserError where there is none."""
    named = str(dict(reference.arguments).get("of", ""))
    if not named:
        raise UserError(f"expected mixture(RUN), with the folder of a population, got '{text}'")
    return read(named)
