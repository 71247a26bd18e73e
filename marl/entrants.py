"""Agents by reference: what a name, a class or a checkpoint folder becomes when it is asked to play a game."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from games.contract import Spec
from games.errors import UserError, nearest
from games.keys import fold_one
from games.registry import Reference, call, check_types, parameters_of, parse, resolve
from marl import checkpoint
from marl.agent import Agent, Answerable, Mcts, Random, Trusted, called, digest_of_code
from marl.config import validate
from marl.foreign import DECISION_SECONDS, ForeignAgent
from marl.scripted import SCRIPTED
from marl.search.agent import UctAgent

GROUP = "marl.algorithms"
LOADED = ("config", "spec", "state", "device")  # what load_agent is given; its other parameters are a user's to set
BUILT_IN: dict[str, type] = {"random": Random, "mcts": Mcts, "uct": UctAgent} | SCRIPTED


@dataclass(frozen=True)
class Entrant:
    """An agent that was asked by name: the name it is shown by, and the digest that says who it is."""

    name: str
    reference: str
    digest: str  # of its code or its weights, and its arguments
    agent: Agent
    draws: int  # its randomness: of its weights, or of what it is called, so that a comment in its code moves nothing

    def stream(self, key: int) -> int:
        """Return the key of this agent's randomness: another agent in the same seat draws other numbers."""
        return fold_one(key, self.draws)

    def answerable(self, spec: Spec) -> Agent:
        """Return the agent as it plays outside tournaments: what it breaks ends the run in words that name it."""
        return Answerable(self.agent, self.name, spec.action)

    @property
    def foreign(self) -> bool:
        """True where the agent is a class of a user's, and plays in a process of its own."""
        return isinstance(self.agent, ForeignAgent)

    def rated(self) -> Agent:
        """Return the agent as it plays in tournaments: a foreign one that fails forfeits, another ends the run."""
        return self.agent if self.foreign else Trusted(self.agent, self.name)

    def rest(self) -> None:
        """End the agent's process, where it has one, until it is asked again."""
        if isinstance(self.agent, ForeignAgent):
            self.agent.close()


def enter(text: str, spec: Spec, device: str = "cpu", decision_seconds: float = DECISION_SECONDS) -> Entrant:
    """Build the agent that a reference names, for a game; raises UserError where it cannot play it.

    A class of a user's plays in a process of its own, and may take `decision_seconds` for a single decision.
    """
    reference = parse(text)
    if reference.source == "" and reference.name in BUILT_IN:
        return _built_in(text, BUILT_IN[reference.name], reference, spec)
    if reference.source == "" and ("/" in reference.name or Path(reference.name).exists()):
        return _trained(text, reference, spec, device)
    if reference.source == "":
        hint = nearest(reference.name, BUILT_IN) or "; a checkpoint is named by its folder"
        raise UserError(f"expected one of {', '.join(BUILT_IN)}, a class or a checkpoint folder, got '{text}'{hint}")
    agent = ForeignAgent(text, spec, decision_seconds)
    return Entrant(text, text, agent.digest, agent, draws=_drawn_from(reference))


def expand(text: str) -> dict[str, str]:
    """Return the agents that a reference stands for, by name: a population folder stands for its members."""
    reference = parse(text)
    folder = Path(reference.name)
    if reference.source == "" and (folder / "population.json").is_file():
        arguments = text[text.index("(") :] if "(" in text else ""
        return {name: f"{path}{arguments}" for name, path in members(folder).items()}
    return {_shown(text, reference): text}


def entered(text: str, spec: Spec, device: str = "cpu") -> dict[str, Entrant]:
    """Build the agents that a reference stands for, by name."""
    found = expand(text).items()
    return {name: replace(enter(reference, spec, device), name=name) for name, reference in found}


def panel_of(texts: Sequence[str], spec: Spec, device: str = "cpu") -> dict[str, Entrant | None]:
    """Build those against whom an agent is evaluated, by the text that asked for them: `self` is self-play, None.

    Members of a population that has several are called `text/member`.
    """
    panel: dict[str, Entrant | None] = {}
    for text in texts:
        if text == "self":
            panel["self"] = None
        elif len(found := entered(text, spec, device)) == 1:
            panel[text] = next(iter(found.values()))
        else:
            panel |= {f"{text}/{name}": entrant for name, entrant in found.items()}
    return panel


def members(folder: Path) -> dict[str, Path]:
    """Return the checkpoints of a population's members by id; raises UserError where the folder holds none."""
    try:
        entries = json.loads((folder / "population.json").read_text(encoding="utf-8"))["members"]
        return {entry["id"]: folder / entry["checkpoint"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{folder}' holds no readable population.json ({error}); train it with `marl population`"
        ) from error


def checkpoint_folder(path: Path) -> Path:
    """Return the checkpoint that a path means: the folder itself, or the newest of a run."""
    if (path / "checkpoint.json").is_file():
        return path
    newest = checkpoint.newest(path)
    if newest is None:
        what = "does not exist" if not path.exists() else "holds no checkpoint"
        raise UserError(f"expected a checkpoint or a run folder, got '{path}', which {what}")
    return newest


def game_of(text: str) -> str:
    """Return the game that a checkpoint was trained on; raises UserError for an agent that knows no game."""
    reference = parse(text)
    if reference.source or reference.name in BUILT_IN:
        raise UserError(f"'{text}' knows no game of its own; name one with --game")
    return str(checkpoint.read(checkpoint_folder(Path(reference.name)))["game"])


def algorithm(name: str) -> Any:
    """Return the Learner class of a registered algorithm."""
    return resolve(Reference("", name, ()), GROUP, "algorithm")


def configured(section: dict[str, Any], where: str) -> tuple[str, Any, BaseModel]:
    """Return the algorithm that a section of a config names, its Learner class, and its settings by its own schema."""
    settings = dict(section)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"the key 'name' is missing in '{where}'; `marl algorithms` names what is installed")
    learner = algorithm(name)
    return name, learner, validate(learner.Config, settings, f"the section '{where}' of {name}")


def _trained(text: str, reference: Reference, spec: Spec, device: str) -> Entrant:
    folder = checkpoint_folder(Path(reference.name))
    about = checkpoint.read(folder)
    ours, theirs = spec.to_json(), about["spec"]
    for part, what in (("num_players", "players"), ("observation", "views"), ("action", "actions")):
        if ours[part] != theirs[part]:
            raise UserError(
                f"'{folder}' was trained on '{about['game']}', whose {what} ({_plain(theirs[part])}) are not those of "
                f"'{spec.name}' ({_plain(ours[part])}); name an agent that was trained on such a game"
            )
    learner = algorithm(about["algorithm"])
    state = checkpoint.tensors(folder, about, "agent.safetensors")
    config = validate(learner.Config, about["settings"], f"the checkpoint '{folder}', written by another version")
    options = dict(reference.arguments)
    known = parameters_of(learner.load_agent)
    allowed = [name for name in known if name not in LOADED]
    for option in options:
        if option not in allowed:
            raise UserError(
                f"a checkpoint of {about['algorithm']} takes {', '.join(allowed) or 'no arguments'}, got '{option}'"
                f"{nearest(option, allowed) or '; leave it out'}"
            )
    check_types(reference.name, known, options)
    try:
        agent = learner.load_agent(config, spec, state, device=device, **options)
    except (KeyError, RuntimeError) as error:  # how torch says that weights are not those of a network
        raise UserError(
            f"the weights of '{folder}' are not those of {about['algorithm']} as it is here; install the version that "
            "wrote them"
        ) from error
    digest = _variant(about["digest"], options)
    return Entrant(_shown(text, reference), text, digest, agent, draws=int(digest[:16], 16))


def _plain(value: Any) -> str:
    """Return a part of a Spec's JSON as words."""
    return ", ".join(f"{key} {entry}" for key, entry in value.items()) if isinstance(value, dict) else str(value)


def _variant(digest: str, options: dict[str, Any]) -> str:
    """Return who plays: the same weights with other options are another player."""
    return hashlib.sha256(f"{digest}{sorted(options.items())}".encode()).hexdigest() if options else digest


def _built_in(text: str, target: Any, reference: Reference, spec: Spec) -> Entrant:
    takes_spec = "spec" in parameters_of(target)
    agent = call(target, reference, **({"spec": spec} if takes_spec else {}))
    return Entrant(text, text, digest_of_code(target, reference), agent, draws=_drawn_from(reference))


def _drawn_from(reference: Reference) -> int:
    return int(hashlib.sha256(called(reference).encode()).hexdigest()[:16], 16)


def _shown(text: str, reference: Reference) -> str:
    """Return a short name: a run's folder name for its newest checkpoint, `run/step` for another."""
    path = Path(reference.name)
    if reference.source or reference.name in BUILT_IN or not path.exists():
        return text
    arguments = text[text.index("(") :] if "(" in text else ""
    return (f"{path.parent.parent.name}/{path.name}" if path.parent.name == "checkpoints" else path.name) + arguments
