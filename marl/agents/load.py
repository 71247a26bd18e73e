"""Loading agents by reference: the name of a built-in or registered agent, a class, or a checkpoint folder."""

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter
from pathlib import Path
from typing import Any

import numpy as np

from games import plugins
from games.contract import Spec
from games.errors import UserError, nearest, written
from games.references import Reference, call, check_types, parameters_of
from games.registry import from_file
from games.text import cut
from marl.agents import checkpoint
from marl.agents.built_in import BUILT_IN, CHAT, MIXTURE
from marl.agents.chat.agent import OPERATION, Chat
from marl.agents.entrants import Entrant, Identity, Trained, Training
from marl.agents.foreign import DECISION_SECONDS, ForeignAgent
from marl.agents.identity import called, digest_of_code
from marl.agents.looking_ahead import LOOKING_AHEAD, looks_ahead, parts, parts_of, settings_of, shown
from marl.agents.mixture import Mixture
from marl.agents.populations import FILE, Member, read_population
from marl.agents.references import (
    ALGORITHM,
    MAKE,
    has_plain_name,
    identified,
    is_built_of_ours,
    is_class,
    is_mixture,
    mixed,
    not_to_run,
    read,
    refuse_taken,
)
from marl.base.files import absent
from marl.base.origin import Origin
from marl.base.schema import validate
from marl.learning.learner import Learner
from marl.learning.registry import algorithm
from marl.rollout.agent import Agent

LOADED = ("config", "spec", "state", "device")  # parameters of Learner.load_agent that users cannot set
FROZEN = "frozen"  # the argument by which a user names all members of a population
_OF_POPULATIONS = {FROZEN: Parameter(FROZEN, Parameter.KEYWORD_ONLY, annotation=bool)}


def load_entrant(text: str, spec: Spec, device: str = "cpu", decision_seconds: float = DECISION_SECONDS) -> Entrant:
    """Build the agent that a reference names, for a game; raises UserError if it cannot be built or cannot play it.

    A user's class plays in a process of its own, and may take `decision_seconds` for a single decision.
    """
    return _enter(read(text), text, spec, device, decision_seconds).load()


def identify(texts: Sequence[str], spec: Spec, device: str = "cpu") -> list[Identity]:
    """Return who the agents are that references stand for; a population's folder stands for its members.

    A checkpoint is known by its checkpoint.json. Its weights are read when it is loaded by its reference, but one
    checkpoint of each algorithm and options is loaded here, so that agents which cannot play this game are refused.
    The processes of foreign agents end. Raises UserError as `load_entrant` does.
    """
    found: list[Identity] = []
    tried = set()
    for agent in (each for text in texts for each in _stands_for(text, spec, device).values()):
        if isinstance(agent, Entrant):
            agent.rest()
            found.append(agent)
            continue
        if agent.kind not in tried:
            agent.load()
            tried.add(agent.kind)
        about = agent.about
        training = Training(agent.folder, about["algorithm"], about["step"], about["parent"])
        found.append(
            Identity(
                agent.name,
                agent.reference,
                agent.digest,
                draws=agent.draws,
                training=training,
                whole_team=agent.whole_team,
            )
        )
    return found


def load_identified(text: str, agents: Mapping[str, str], spec: Spec, device: str = "cpu") -> Entrant | None:
    """Build the agent that `digest:<64 hex digits>` names; None for a text of another form.

    `agents` are references by digest. Raises UserError where they lack this one, or where the agent that is found there
    has another digest.
    """
    digest = identified(text, agents)
    if digest is None:
        return None
    entrant = load_entrant(agents[digest], spec, device)
    if entrant.digest != digest:
        raise UserError(
            f"expected the agent with the digest {digest[:8]}... at '{agents[digest]}', got another "
            f"({entrant.digest[:8]}...); put back the one that was there"
        )
    return entrant


def _enter(
    reference: Reference, text: str, spec: Spec, device: str, decision_seconds: float = DECISION_SECONDS
) -> Entrant | Trained:
    """Return the agent that a reference names; a checkpoint is not loaded yet."""
    load_identified(text, {}, spec)  # raises for a digest: nothing says where it lies
    if is_class(reference):
        agent = ForeignAgent(text, spec, decision_seconds)
        return Entrant(text, text, agent.digest, agent, draws=_drawn_from(reference), foreign=True)
    refuse_taken(reference.name)
    if is_mixture(reference):
        return _mixture(text, reference, spec, device)
    if looks_ahead(reference):
        return _looking_ahead(text, reference, spec, device, decision_seconds)
    if reference.name in BUILT_IN:
        return _scripted(text, BUILT_IN[reference.name], reference, spec)
    if "/" in reference.name or os.path.lexists(reference.name):
        return _trained(reference, spec, device)
    known = (*BUILT_IN, *LOOKING_AHEAD, *plugins.names(plugins.AGENTS))
    hint = nearest(reference.name, known) or "; a checkpoint is named by its folder"
    raise UserError(f"expected one of {', '.join(known)}, a class or a checkpoint folder, got '{text}'{hint}")


def load_entrants(text: str, spec: Spec, device: str = "cpu") -> dict[str, Entrant]:
    """Build the agents that a reference stands for, by name: a population folder stands for its members."""
    return {name: agent.load() for name, agent in _stands_for(text, spec, device).items()}


def _stands_for(text: str, spec: Spec, device: str) -> dict[str, Entrant | Trained]:
    """Return the agents that a reference stands for, by name."""
    reference = read(text)
    if _is_population(reference):
        return {name: _member(member, spec, device, name) for name, member in _members(reference).items()}
    agent = _enter(reference, text, spec, device)
    return {agent.name: agent}


def _member(reference: Reference, spec: Spec, device: str, name: str) -> Entrant | Trained:
    """Return a member of a population, called `name`."""
    if has_plain_name(reference):
        return replace(_enter(reference, str(reference), spec, device), name=name)
    return _trained(reference, spec, device, name)


def _mixture(text: str, reference: Reference, spec: Spec, device: str) -> Entrant:
    """Return the agent that plays a population's mixture; its members are loaded when they are first drawn.

    Its digest is a hash of the digests and the weights of all members with a weight above 0.
    """
    of = mixed(text, reference)
    if not _is_population(of):
        raise UserError(f"expected mixture(RUN), with the folder of a population, got '{text}'")
    folder = Path(of.name)
    population = read_population(folder)
    if population.mixture is None:
        raise UserError(
            f"the population '{folder}' has no mixture: method: psro finds one, and method: league in a zero-sum game "
            f"when a learner has frozen; name '{folder}' for its members"
        )
    lies = {str(member.digest): member for member in reversed(population.members)}
    weights = {digest: by_seat for digest, by_seat in population.mixture.weights.items() if any(by_seat)}
    if seats := {len(by_seat) for by_seat in weights.values()} - {spec.num_players}:
        raise UserError(
            f"the mixture of '{folder}' has weights for {seats.pop()} seats, and '{spec.name}' has {spec.num_players} "
            "players; name a game that the population plays"
        )
    held = []
    for digest, by_seat in sorted(weights.items()):
        member = _member(_referred(folder, lies[digest], of.arguments), spec, device, lies[digest].id)
        found = member.about["digest"] if isinstance(member, Trained) else member.digest
        if found != digest:
            raise UserError(
                f"'{folder / FILE}' gives '{member.name}' the digest {digest[:8]}..., and it has {found[:8]}...; put "
                "back the one that was there"
            )
        held.append((member, by_seat))
    identity = json.dumps(["mixture", sorted((member.digest, by_seat) for member, by_seat in held)])
    digest = hashlib.sha256(identity.encode()).hexdigest()
    agent = Mixture(np.array([by_seat for _, by_seat in held]), [_loader(member) for member, _ in held], spec)
    return Entrant(f"{MIXTURE}({_short(of)})", text, digest, agent, draws=int(digest[:16], 16))


def _looking_ahead(text: str, reference: Reference, spec: Spec, device: str, decision_seconds: float) -> Entrant:
    """Return an agent that looks ahead with others, which are loaded.

    Its digest is a hash of its own arguments and of the digests of all that it names. If one of them is a user's class
    it forfeits as that one does.
    """
    kind, settings = LOOKING_AHEAD[reference.name], settings_of(reference)
    kind.target.refuse(spec)  # before its parts do, which a user may not have named
    held: list[Entrant] = []
    named: dict[str, list[Entrant]] = {}
    try:
        for role, texts in parts_of(reference).items():
            named[role] = []
            for each in texts:
                held.append(load_entrant(each, spec, device, decision_seconds))
                held[-1].refuse_beside_others()
                named[role].append(held[-1])
        agents = {role: [part.agent for part in parts] for role, parts in named.items()}
        given = {
            role: agents[role] if several else agents[role][0] for role, several in kind.roles.items() if role in agents
        }
        agent = call(kind.target, settings, spec=spec, **given)
    except UserError:
        for part in held:
            part.rest()
        raise

    def hashed(name: str, of: Callable[[Entrant], Any]) -> str:
        known = sorted((role, [of(part) for part in parts]) for role, parts in named.items())
        return hashlib.sha256(json.dumps([name, called(settings), known]).encode()).hexdigest()

    return Entrant(
        shown(reference, {role: [part.name for part in parts] for role, parts in named.items()}),
        text,
        hashed(f"revision {kind.target.revision}", lambda part: part.digest),
        agent,
        draws=int(hashed("draws", lambda part: part.draws)[:16], 16),
        foreign=any(part.foreign for part in held),
        size=sum(part.size for part in held),
        parts=tuple(held),
    )


def _loader(member: Entrant | Trained) -> Callable[[], Agent]:
    return lambda: member.load().agent


def _is_population(reference: Reference) -> bool:
    named = not reference.source and not has_plain_name(reference)
    return named and os.path.isfile(Path(reference.name) / FILE)


def _members(reference: Reference) -> dict[str, Reference]:
    """Return the members of a population by name; they take the arguments that the population was given.

    With `frozen=true` they are all that it has, else those of its newest round.
    """
    folder = Path(reference.name)
    arguments = dict(reference.arguments)
    frozen = arguments.pop(FROZEN, False)
    check_types(reference.name, _OF_POPULATIONS, {FROZEN: frozen})
    population = read_population(folder)
    listed = population.members if frozen else population.newest
    return {member.id: _referred(folder, member, tuple(arguments.items())) for member in listed}


def _referred(folder: Path, member: Member, arguments: tuple[tuple[str, Any], ...]) -> Reference:
    """Return a member's reference, a checkpoint's with arguments; raises UserError if population.json names code."""
    if member.checkpoint is not None:
        return Reference("", f"{folder}/{member.checkpoint}", arguments)
    text = str(member.reference)
    reference = read(text)
    named = not_to_run(text)
    if named or not is_built_of_ours(reference):
        what = f"asks {named}" if named == "a server" else "is neither built in nor a checkpoint"
        raise UserError(
            f"the population '{folder}' has a member that {what}, {written(text)}: not run; name the members that you "
            "trust one by one"
        )
    return reference


def load_panel(texts: Sequence[str], spec: Spec, device: str = "cpu") -> dict[str, Entrant | None]:
    """Build the agents of a panel, by their references; `self` stands for self-play and gives None.

    A population of several members gives an entry `reference/member` for each.
    """
    panel: dict[str, Entrant | None] = {}
    for text in texts:
        if text == "self":
            panel["self"] = None
        elif len(found := load_entrants(text, spec, device)) == 1:
            panel[text] = next(iter(found.values()))
        else:
            panel |= {f"{text}/{name}": entrant for name, entrant in found.items()}
    return panel


def members(folder: Path) -> dict[str, Path]:
    """Return the checkpoint folders of a population's members by id; raises UserError if population.json is damaged."""
    listed = read_population(folder).members
    return {member.id: folder / member.checkpoint for member in listed if member.checkpoint is not None}


def checkpoint_folder(path: Path) -> Path:
    """Return the checkpoint folder that a path stands for: itself, or the newest one of a run."""
    if os.path.isfile(path / "checkpoint.json"):
        return path
    newest = checkpoint.newest(path)
    if newest is None:
        what = _without_checkpoint(path) if os.path.lexists(path) else absent(path, MAKE)
        raise UserError(f"expected a checkpoint or a run folder, got '{path}', which {what}")
    return newest


def _without_checkpoint(path: Path) -> str:
    """Return what an existing folder without a checkpoint is, and what to name instead."""
    if not os.path.isfile(path / FILE):
        return f"holds no checkpoint; {MAKE}"
    member = read_population(path).newest[0]
    mixture = f", or its mixture: mixture({path})" if read_population(path).mixture else ""
    return f"is a population; name a member, such as {member.named(path)}{mixture}"


def game_of(text: str) -> str:
    """Return the game that a checkpoint was trained on, or the members of a population.

    Raises UserError for an agent without a game, and for a checkpoint whose game is not registered here.
    """
    reference = read(text)
    if looks_ahead(reference):
        return _game_of_parts(text, reference)
    if is_mixture(reference):
        reference = mixed(text, reference)
    game = read_population(Path(reference.name)).game if _is_population(reference) else None
    if game is None:
        if _is_population(reference):
            reference = next(iter(_members(reference).values()))
        if reference.source or has_plain_name(reference):
            raise UserError(f"'{text}' knows no game of its own; name one (--game, or the argument game)")
        game = checkpoint.read(checkpoint_folder(Path(reference.name)))["game"]
    typed = f"marl evaluate {shlex.quote(text)} --game {shlex.quote(game)}"
    return from_file(game, f"if you trust it, type it yourself: {typed}")


def _game_of_parts(text: str, reference: Reference) -> str:
    """Return the game of the first agent that knows one, of those with which another looks ahead."""
    for part in parts(reference):
        try:
            return game_of(part)
        except UserError:
            if not has_plain_name(read(part)) or looks_ahead(read(part)):
                raise
    raise UserError(f"'{text}' knows no game of its own; name one (--game, or the argument game)")


def _trained(reference: Reference, spec: Spec, device: str, name: str | None = None) -> Trained:
    """Return the agent of a checkpoint, called `name` or by its folder, with all checked that needs no weights."""
    folder = checkpoint_folder(Path(reference.name))
    about = checkpoint.read(folder)
    if about["format"] == checkpoint.UNVERIFIED:
        checkpoint.note_unverified(folder)
    refuse_other_games(folder, about, spec)
    options = dict(reference.arguments)
    named = options.pop(ALGORITHM, None)
    learner = _learner(folder, about["algorithm"], named)
    written_by = Origin(f"the checkpoint '{folder}', written by another version")
    config = validate(learner.Config, about["settings"], written_by, record=True)
    _refuse_options(reference.name, about["algorithm"], learner, options)
    given = options | ({ALGORITHM: named} if named not in (None, about["algorithm"]) else {})
    digest = _variant(about["digest"], given)
    shown = replace(reference, arguments=tuple(given.items()))
    path = replace(reference, name=f"./{reference.name}") if has_plain_name(reference) else reference
    return Trained(
        name=_short(shown) if name is None else name,
        reference=str(path),
        digest=digest,
        draws=int(digest[:16], 16),
        folder=folder,
        about=about,
        learner=learner,
        config=config,
        options=options,
        spec=spec,
        device=device,
        whole_team=learner.plays_whole_team(config),
    )


def refuse_other_games(folder: Path, about: checkpoint.About, spec: Spec) -> None:
    """Raise UserError if a checkpoint was trained on a game with other players, views or actions."""
    ours, theirs = spec.to_json(), about["spec"]
    for part, what in (("num_players", "players"), ("observation", "views"), ("action", "actions")):
        if ours[part] != theirs[part]:
            raise UserError(
                f"'{folder}' was trained on '{cut(about['game'], 100)}', whose {what} ({_plain(theirs[part])}) are not "
                f"those of '{spec.name}' ({_plain(ours[part])}); name an agent that was trained on such a game"
            )


def _refuse_options(name: str, trained_by: str, learner: type[Learner], options: dict[str, Any]) -> None:
    """Raise UserError for options that checkpoints of an algorithm do not take."""
    known = parameters_of(learner.load_agent)
    allowed = [option for option in known if option not in LOADED]
    for option in options:
        if option not in allowed:
            raise UserError(
                f"a checkpoint of {trained_by} takes {', '.join(allowed) or 'no arguments'}, got '{option}'"
                f"{nearest(option, allowed) or '; leave it out'}"
            )
    check_types(name, known, options)


def _learner(folder: Path, trained_by: str, named: object) -> type[Learner]:
    """Return the class that trained a checkpoint: a registered one, or one that the user named."""
    if named is not None:
        return algorithm(str(named), typed=True)
    if ":" in trained_by:
        raise UserError(
            f"'{folder}' was trained by the class {written(trained_by)}, which is not registered here: not run; if you "
            f"trust it, name it: --algorithm {shlex.quote(trained_by)}, or the argument algorithm={trained_by}"
        )
    return algorithm(trained_by)


def name_algorithm(text: str, classes: Sequence[str]) -> str:
    """Return an agent's reference with the class that trained it, where a user named that class (`--algorithm`)."""
    reference = read(text)
    named = reference.source or has_plain_name(reference) or ALGORITHM in dict(reference.arguments)
    if not classes or named or not os.path.lexists(reference.name):
        return text
    folders = members(Path(reference.name)).values() if _is_population(reference) else [Path(reference.name)]
    trained_by = {checkpoint.read(checkpoint_folder(folder))["algorithm"] for folder in folders}
    meant = next((name for name in classes if name in trained_by), None)
    return text if meant is None else str(replace(reference, arguments=(*reference.arguments, (ALGORITHM, meant))))


def _plain(value: object) -> str:
    """Return a part of a Spec's JSON as text for a message."""
    return ", ".join(f"{key} {entry}" for key, entry in value.items()) if isinstance(value, dict) else str(value)


def _variant(digest: str, options: Mapping[str, object]) -> str:
    """Return the digest of an agent with `options`: the same weights with other options are another agent."""
    return hashlib.sha256(f"{digest}{sorted(options.items())}".encode()).hexdigest() if options else digest


def _scripted(text: str, target: Any, reference: Reference, spec: Spec) -> Entrant:
    takes_spec = "spec" in parameters_of(target)
    agent = call(target, reference, **({"spec": spec} if takes_spec else {}))
    if isinstance(agent, Chat):
        shown = ", ".join(f"{name}={value}" for name, value in reference.arguments if name not in OPERATION)
        return Entrant(f"{CHAT}({shown})", text, agent.digest, agent, draws=int(agent.digest[:16], 16))
    return Entrant(text, text, digest_of_code(target, reference), agent, draws=_drawn_from(reference))


def _drawn_from(reference: Reference) -> int:
    return int(hashlib.sha256(called(reference).encode()).hexdigest()[:16], 16)


def _short(reference: Reference) -> str:
    """Return a short name: a run's folder name for its newest checkpoint, `run/step` for another."""
    path = Path(reference.name)
    name = f"{path.parent.parent.name}/{path.name}" if path.parent.name == "checkpoints" else path.name
    return (name or reference.name) + reference.shown_brackets
