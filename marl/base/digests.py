"""What identifies data, and the code that works on them: digests of canonical JSON, and a fingerprint of the code."""

import hashlib
import json
from functools import cache
from importlib.metadata import version
from typing import Any

Json = Any  # None, a truth value, a number, a text, a list of such, or a dictionary of such by text

PACKAGES = ("marl", "torch", "numpy", "open-spiel")
REVISION = 1  # raised where the same work has another result, and no version of PACKAGES differs

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical(data: Json) -> str:
    """Return data as canonical JSON: sorted keys, no spaces, ASCII; raises ValueError for what is no finite number."""
    return _canonical(data)


def digest(data: Json) -> str:
    """Return the SHA-256 of data, by their canonical JSON."""
    return hashlib.sha256(canonical(data).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the version of each of PACKAGES."""
    return {package: version(package) for package in PACKAGES}


@cache
def fingerprint() -> str:
    """Return the identity of the code that works: its packages' versions and its declared REVISION, not its source."""
    return digest({"revision": REVISION, "versions": versions()})
