"""Settings that change nothing in a run: a note names them, since whoever set them expects an effect.

Each learner says which of its settings are used only where another has some value (`Learner.needs`).
"""

from collections.abc import Mapping

from pydantic import BaseModel

Needs = Mapping[str, tuple[bool, str]]  # by setting: whether it is used, and what it needs to be used


def idle(settings: BaseModel, needs: Needs) -> list[str]:
    """Return the note on settings that are not at their defaults and that are not used; none where all are used."""
    fields = type(settings).model_fields
    unused = [
        f"{name} (needs {what})"
        for name, (used, what) in needs.items()
        if not used and getattr(settings, name) != fields[name].default
    ]
    return [f"settings that change nothing here: {', '.join(unused)}"] if unused else []
