"""The identity of an agent: the digest by which a tournament recognises it."""

import hashlib
import inspect
import sys
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from types import ModuleType
from typing import Any

from games.references import OURS, Reference

# Another release of Python, or of this project, does not make another agent: ours declare a revision instead.
_NO_PART = sys.stdlib_module_names | {*OURS}


def digest_of_code(target: Any, reference: Reference) -> str:
    """Return the identity of a scripted agent: a hash of its reference, of its `revision` and of the code behind it.

    Built-in agents declare a `revision`, a number that is raised when their decisions change; their source does not
    count. The code of any other agent is the source of these modules: the one that its reference names, those of its
    class and base classes, and those that it lists in `made_of` because they decide for it. The version of each
    module's package is added; of a compiled module only the version counts.
    """
    made = target
    while isinstance(made, partial):
        made = made.func
    kinds = getattr(made, "__mro__", (made,))
    parts = [sys.modules.get(reference.source), *map(inspect.getmodule, kinds), *getattr(made, "made_of", ())]
    code = [f"{_source(m)}\n{_release(_package(m))}" for m in dict.fromkeys(parts) if m and _package(m) not in _NO_PART]
    revision = [f"revision {made.revision}"] if hasattr(made, "revision") else []
    return hashlib.sha256("\n".join([called(reference), *revision, *code]).encode()).hexdigest()


def called(reference: Reference) -> str:
    """Return an agent's reference as text, with its arguments sorted."""
    return f"{reference.source}:{reference.name}{sorted(reference.arguments)}"


def _package(module: ModuleType) -> str:
    return module.__name__.partition(".")[0]


@cache
def _source(module: ModuleType) -> str:
    """Return a module's source as it was at the first call: later changes of the file are not imported."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""


@cache
def _release(package: str) -> str:
    """Return the version of an installed package; cached, since the search takes 0.1 s."""
    try:
        return version(packages_distributions().get(package, [package])[0])
    except PackageNotFoundError:
        return ""
