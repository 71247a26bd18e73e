"""The functions of `import marl`. They raise UserError, in one sentence, for whatever does not fit.

Agents and games are named by the same references as on the command line, or given as objects. Nothing global changes:
while agents play, torch computes with one thread, as on the command line, and afterwards with as many as before.
"""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from games import registry
from games.contract import Game, Spec, VecEnv
from games.errors import UserError, written
from games.guard import Guard
from games.keys import fold, stream
from games.vector import vectorize
from marl.base.threads import threads_kept, use_one_thread

if TYPE_CHECKING:
    from marl.agents.entrants import Entrant
    from marl.base.origin import Change
    from marl.evaluation.evaluate import Evaluation
    from marl.rollout.agent import Agent
    from marl.training.config import PopulationConfig, TrainConfig
    from tournaments.populations.settings import AdvancingConfig
    from tournaments.reports.summary import Summary
    from tournaments.tournament import TournamentConfig

Name = str | os.PathLike[str]  # a reference, or a path
NAMES = (str, os.PathLike)
Schema = TypeVar("Schema", "TrainConfig", "TournamentConfig", "PopulationConfig | AdvancingConfig")

MOST_ENVS = 64  # environments that play together; the results do not depend on it


@dataclass(frozen=True)
class Played:
    """K episodes. Columns follow the agents in the order in which they were given, whatever seats they held."""

    returns: NDArray[np.float64]  # [K, N] what each agent was paid
    lengths: NDArray[np.int64]  # [K] steps
    moves: list[NDArray[Any]]  # K arrays [length, N], or [length, N, D]: by player; 0 where a player was not acting
    seats: NDArray[np.int64]  # [K, N] the player that each agent was
    cut: NDArray[np.bool_]  # [K] the episode had not ended after `max_steps` steps

    def __len__(self) -> int:
        return len(self.lengths)


def make(game: "str | Game", num_envs: int = 1) -> VecEnv:
    """Build a game as a batch of `num_envs` environments.

    `game` is a reference, such as `"openspiel:connect_four(rows=5)"`, `"spread | agent_id"` or
    `"my_package.games:Nim(stones=21)"`, or a `Game` object. A game from elsewhere is checked while it is played, and
    raises RunFailed where it breaks the contract.
    """
    _check_integer("num_envs", num_envs, 1)
    if isinstance(game, str):
        return registry.make(game, num_envs)
    if isinstance(game, Game):
        return Guard(vectorize(game, num_envs))
    raise UserError(f"expected a game's reference or a Game, got {written(game)}; `marl games list` names games")


def load_agent(reference: Name, game: "str | Game | Spec | VecEnv | None" = None, *, device: str = "cpu") -> "Agent":
    """Load an agent for a game: `act(view, hidden)` then decides for rows of seats.

    `reference` is a name (`"random"`, `"uct(simulations=100)"`), a class (`"my_package.bots:Pavlov()"`, which plays in
    a process of its own), or the folder of a run (its newest checkpoint) or of a checkpoint, with options behind it:
    `"runs/x(greedy=true)"`. A checkpoint knows its own game; one of a class that is not registered needs the class's
    name: `"runs/x(algorithm='my_package.algorithms:Mine')"`. Raises UserError where the agent cannot play the game.
    """
    return _entrant(reference, _spec(_game_of(reference) if game is None else game), device).agent


def play(
    game: "str | Game | VecEnv",
    agents: "Name | Agent | Sequence[Name | Agent]",
    episodes: int = 1,
    seed: int = 0,
    *,
    rotate: bool = False,
    opening_moves: int = 0,
    max_steps: int | None = None,
    device: str = "cpu",
) -> Played:
    """Play `episodes` episodes between agents, which are references or objects with `act(view, hidden)`.

    Agent i is player i; one agent alone is every player. With `rotate`, the agents move on by one seat from episode to
    episode, and each N episodes share their seed (all that chance draws), so that nobody gains by its seat.
    The first `opening_moves` steps of an episode are drawn at random, and it is cut after `max_steps` steps (the
    game's own `max_length`, or 20,000, by default). The same arguments give the same result.

    Raises RunFailed where an agent fails or moves illegally.
    """
    from marl.rollout.loop import play_episodes

    _check_quota("episodes", episodes, seed, opening_moves, max_steps)
    venv = _environments(game, episodes)
    given, players = _by_player(agents, venv.spec), venv.spec.num_players
    fixture, shift = np.divmod(np.arange(episodes), players if rotate else 1)  # [K], [K]
    seats = (np.arange(players) + shift[:, None]) % players  # [K, N]
    key = stream(seed, "play")
    with _at_play(given, venv.spec, device) as entrants:
        roster = list({id(entrant): entrant for entrant in entrants}.values())  # who holds several seats decides once
        entry = np.array([[one is entrant for one in roster].index(True) for entrant in entrants])
        played = sorted(
            play_episodes(
                venv,
                [entrant.answerable(venv.spec) for entrant in roster],
                np.array([entrant.stream(key) for entrant in roster], np.uint64),
                fold(key, fixture),
                entry[np.argsort(seats, axis=1)],  # [K, N] the agent that holds each player
                opening_moves=opening_moves,
                max_steps=max_steps,
            ),
            key=lambda episode: episode.index,
        )
    return Played(
        returns=np.take_along_axis(np.stack([episode.returns for episode in played]), seats, axis=1),
        lengths=np.array([episode.length for episode in played]),
        moves=[episode.moves for episode in played],
        seats=seats,
        cut=np.array([episode.cut for episode in played]),
    )


def evaluate(
    agent: "Name | Agent",
    game: "str | Game | VecEnv | None" = None,
    *,
    against: "Name | Agent" = "self",
    seeds: int = 100,
    seed: int = 0,
    opening_moves: int = 0,
    max_steps: int | None = None,
    device: str = "cpu",
) -> "Evaluation":
    """Return the mean return of an agent in each seat, with 95 % intervals, as `marl evaluate` prints them.

    Each of `seeds` seeds is played from every seat, with `against` in all others; `"self"` is self-play. A checkpoint
    knows its own game. The other arguments are those of `play`, and so are the errors.
    """
    from marl.evaluation.evaluate import evaluate_entrant

    _check_quota("seeds", seeds, seed, opening_moves, max_steps)
    venv = _environments(_game_of(agent) if game is None else game, seeds)
    with _at_play([agent] if against == "self" else [agent, against], venv.spec, device) as entrants:
        return evaluate_entrant(
            venv,
            entrants[0],
            entrants[1] if len(entrants) > 1 else None,
            seeds=seeds,
            key=stream(seed, "evaluation"),
            opening_moves=opening_moves,
            max_steps=max_steps,
        )


def train(
    config: "Name | Mapping[str, Any] | TrainConfig",
    *,
    run_dir: Name | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
    **changes: Any,
) -> Path:
    """Train one learner and return the folder of its newest checkpoint.

    `config` is a shipped config's name (`marl configs` lists them), the path of a YAML file, or the keys and values
    themselves. `changes` are keys of the config: `steps=10_000`, `algorithm={"learning_rate": 1e-3}`, or
    `**{"algorithm.learning_rate": 1e-3}`; keys of a section that are not named stay. The run is kept in `run_dir`,
    `runs/<config's name>` by default; with `resume` it goes on from its newest checkpoint. Progress is printed unless
    `quiet`.

    Raises UserError before anything is written, or RunFailed on the way, with the last checkpoint kept.
    """
    from marl.training.config import TrainConfig
    from marl.training.train import train as train_run

    settings, folder = _configured(TrainConfig, config, changes), _run_folder(config, run_dir)
    with threads_kept():
        return train_run(settings, folder, resume=resume, device=device, console=_console(quiet))


def train_population(
    config: "Name | Mapping[str, Any] | PopulationConfig | AdvancingConfig",
    *,
    run_dir: Name | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
    **changes: Any,
) -> Path:
    """Train a population: side by side, by responses to mixtures (PSRO) or as a league.

    Return the path of population.json.
    The arguments are those of `train`; with more than one of `workers`, a script needs `if __name__ == "__main__":`, as
    for `run_tournament`. The folder stands for the members wherever agents are named, and `mixture(FOLDER)` for the
    mixture that PSRO or a league found.
    """
    from marl.training.config import PopulationConfig
    from marl.training.population import train_members
    from tournaments.populations.config import schema_of
    from tournaments.populations.loop import run
    from tournaments.populations.settings import AdvancingConfig

    if isinstance(config, PopulationConfig | AdvancingConfig):
        config = config.model_dump(mode="json", exclude_unset=True)
    source = Path(config) if isinstance(config, NAMES) else config
    settings = _configured(schema_of(source, _typed(changes)), config, changes)
    folder, console = _run_folder(config, run_dir), _console(quiet)
    with threads_kept():
        if isinstance(settings, PopulationConfig):
            return train_members(settings, folder, resume=resume, device=device, console=console)
        return run(settings, folder, resume=resume, device=device, console=console)


def run_tournament(
    config: "Name | Mapping[str, Any] | TournamentConfig",
    *,
    run_dir: Name | None = None,
    retry_timeouts: bool = False,
    quiet: bool = False,
    **changes: Any,
) -> Path:
    """Play the games of a tournament that are missing and return the path of its store; `rate` rates what is in it.

    `config`, `run_dir`, `quiet` and `changes` are as in `train`: `run_tournament("connect_four", seeds=10)`. With more
    than one of `workers`, a script needs `if __name__ == "__main__":` around the call, as for Python's own process
    pools.
    """
    from tournaments.tournament import TournamentConfig, run

    settings, folder = _configured(TournamentConfig, config, changes), _run_folder(config, run_dir)
    with threads_kept():
        return run(settings, folder, _console(quiet), retry_timeouts=retry_timeouts)


def rate(store: Name) -> "Summary":
    """Rate the agents of a tournament, named by its folder or by its `games.sqlite`.

    Of the result, `ratings` are Elo with 95 % intervals; where the game has no Elo it is None, `reason` says why, and
    `payoffs` and `matchups` hold mean returns. `warnings` are sentences to read before the numbers are trusted.
    """
    from tournaments.records.store import stored
    from tournaments.reports.summary import summarize

    with stored(Path(store)) as opened:
        return summarize(opened)


def _environments(game: Any, episodes: int) -> VecEnv:
    """Return what `episodes` episodes are played in: a VecEnv as it is, another game as a new batch."""
    if all(hasattr(game, name) for name in ("spec", "num_envs", "reset", "step")):
        return game  # type: ignore[no-any-return]
    return make(game, min(MOST_ENVS, episodes))


def _spec(game: Any) -> Spec:
    return game if isinstance(game, Spec) else _environments(game, 1).spec


def _game_of(agent: Any) -> str:
    """Return the game that a checkpoint was trained on."""
    from marl.agents.load import game_of

    if not isinstance(agent, NAMES):
        _check_agent(agent)
        raise UserError(f"expected the game, as only a checkpoint knows its own, got {written(agent)} alone; name it")
    return game_of(os.fspath(agent))


def _by_player(agents: Any, spec: Spec) -> list[Any]:
    """Return the agent of each player [N]."""
    if isinstance(agents, Sequence) and not isinstance(agents, str):
        given = list(agents)
    else:
        given = [agents] * spec.num_players
    if len(given) != spec.num_players:
        raise UserError(
            f"expected {spec.num_players} agents, one for each player of '{spec.name}', got a list of {len(given)}; "
            "one agent that is not in a list plays all of them"
        )
    return given


def _entrant(agent: Any, spec: Spec, device: str) -> "Entrant":
    """Return an agent with its name; raises UserError for what is none."""
    from marl.agents.entrants import Entrant
    from marl.agents.load import load_entrant

    if isinstance(agent, NAMES):
        return load_entrant(os.fspath(agent), spec, device)
    _check_agent(agent)
    name = type(agent).__qualname__
    return Entrant(name, name, digest="", agent=agent, draws=stream(0, name))


def _check_agent(agent: Any) -> None:
    """Raise UserError for an object that is no agent."""
    if isinstance(agent, type) or not hasattr(agent, "act"):
        raise UserError(f"expected an agent's reference or an object with act(view, hidden), got {written(agent)}")
    if not hasattr(agent, "initial_hidden"):
        raise UserError(f"{written(agent)} has no initial_hidden(rows); derive its class from marl.Stateless")


@contextmanager
def _at_play(agents: Sequence[Any], spec: Spec, device: str) -> "Iterator[list[Entrant]]":
    """Load agents, each once, and let them play with one thread of torch; at the end, their processes end too."""
    names = [os.fspath(agent) if isinstance(agent, NAMES) else id(agent) for agent in agents]
    loaded: dict[str | int, Entrant] = {}
    try:
        for name, agent in zip(names, agents, strict=True):
            if name not in loaded:
                loaded[name] = _entrant(agent, spec, device)
        with threads_kept():  # by now agents with weights have imported torch
            use_one_thread()
            yield [loaded[name] for name in names]
    finally:
        for entrant in loaded.values():
            entrant.rest()


def _configured(schema: "type[Schema]", config: Any, changes: Mapping[str, Any]) -> "Schema":
    """Return a config with its changes; raises UserError for what does not fit."""
    from marl.base.origin import Origin
    from marl.base.schema import build, load

    typed = _typed(changes)
    if isinstance(config, NAMES):
        return load(schema, Path(config), typed)
    data = config.model_dump(mode="json", exclude_unset=True) if isinstance(config, schema) else config
    if not isinstance(data, Mapping):
        raise UserError(f"expected a config's name, path, or keys and values, got {written(config)}")
    return build(schema, Origin("the config", dict(data), changes=tuple(typed)))


def _typed(changes: Mapping[str, Any]) -> "list[Change]":
    """Return the changes that arguments make to a config."""
    from marl.base.origin import by_key

    return by_key(_flat(changes), "the argument '{}'")


def _flat(changes: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return changes of sections as changes of their keys: `{"a": {"b": 1}}` is `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in changes.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat


def _run_folder(config: Any, run_dir: Name | None) -> Path:
    from marl.base.files import run_folder

    if run_dir is None and not isinstance(config, NAMES):
        raise UserError("expected run_dir, as a config without a name has no folder of its own; add run_dir='runs/x'")
    return run_folder(Path(config), None) if run_dir is None else run_folder(Path(), Path(run_dir))


def _console(quiet: bool) -> Any:
    from marl.base.terminal import Terminal

    return Terminal(file=io.StringIO()) if quiet else Terminal()


def _check_quota(what: str, number: int, seed: int, opening_moves: int, max_steps: int | None) -> None:
    """Raise UserError for a quota of play that is none; `what` is its name."""
    for name, value, least in ((what, number, 1), ("seed", seed, 0), ("opening_moves", opening_moves, 0)):
        _check_integer(name, value, least)
    if max_steps is not None:
        _check_integer("max_steps", max_steps, 1)


def _check_integer(name: str, value: Any, least: int) -> None:
    """Raise UserError for an argument that is no whole number from `least` on."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value < 2**63:
        raise UserError(f"expected {name} to be a whole number from {least} on, got {written(value)}")
