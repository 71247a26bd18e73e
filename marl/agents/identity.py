"""Who an agent is: the digest by which a tournament knows it again."""

import hashlib
import inspect
import sys
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from types import ModuleType
from typing import Any

from games.references import OURS, Reference

# Another release of Python, or of this project, is no other agent: what of ours decides declares its revision.
_NO_PART = sys.stdlib_module_names | {*OURS}


def digest_of_code(target: Any, reference: Reference) -> str:
    """Return the identity of a scripted agent: a hash of its reference, of its `revision` and of the code behind it.

    Built-in agents declare a `revision`, a number that rises when they decide otherwise than before; their text counts
    for nothing. The code of any other agent is the source of the module that it was asked from and of its class's, of
    those that this inherits from, and of the modules that it names in `made_of`, because they play for it. With each
    goes the version of its package; of a compiled module that is all there is.
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
    """Return what an agent is asked as, its arguments in one order."""
    return f"{reference.source}:{reference.name}{sorted(reference.arguments)}"


def _package(module: ModuleType) -> str:
    return module.__name__.partition(".")[0]


@cache
def _source(module: ModuleType) -> str:
    """Return a module's source as it was when somebody first asked: what has been imported plays on."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""


@cache
def _release(package: str) -> str:
    """Return the version of an installed package; looking through everything that is installed takes 0.1 s."""
    try:
        return version(packages_distributions().get(package, [package])[0])
    except PackageNotFoundError:
        return ""
