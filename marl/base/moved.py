"""Old module names, which forward to the new ones until 0.3 with a DeprecationWarning."""

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

UNTIL = "0.3"

# Each module of 0.1 that is gone, or that lost names, and the modules that have its names now.
MOVED: dict[str, tuple[str, ...]] = {
    "marl.agent": ("marl.rollout.agent", "marl.rollout.referee", "marl.agents.identity", "marl.agents.mcts"),
    "marl.algorithms.alphazero": ("marl.algorithms.zero.alphazero",),
    "marl.algorithms.concaveq": ("marl.algorithms.value_factorization.concaveq",),
    "marl.algorithms.ippo": (
        "marl.algorithms.policy_gradient.ippo",
        "marl.algorithms.policy_gradient.ppo",
        "marl.algorithms.policy_gradient.networks",
        "marl.algorithms.policy_gradient.agent",
    ),
    "marl.algorithms.lola": ("marl.algorithms.opponent_shaping.lola",),
    "marl.algorithms.loqa": ("marl.algorithms.opponent_shaping.loqa",),
    "marl.algorithms.muzero": ("marl.algorithms.zero.muzero",),
    "marl.algorithms.value_factorization": ("marl.algorithms.value_factorization.qmix",),
    "marl.algorithms.versus": ("marl.algorithms.co_training",),
    "marl.backends": ("marl.learning.backends",),
    "marl.checkpoint": ("marl.agents.checkpoint", "marl.base.digests"),
    "marl.cli": ("marl.cli.app",),
    "marl.collectors": ("marl.training.collectors",),
    "marl.config": ("marl.base.schema", "marl.training.config"),
    "marl.drives": ("marl.base.drives",),
    "marl.engine": ("marl.base.engine",),
    "marl.entrants": (
        "marl.agents.load",
        "marl.agents.entrants",
        "marl.agents.references",
        "marl.agents.built_in",
        "marl.learning.registry",
    ),
    "marl.episode_batch": ("marl.algorithms.value_factorization.batch",),
    "marl.episodic": ("marl.algorithms.value_factorization.learner",),
    "marl.exploitability": (
        "marl.evaluation.openspiel_policies",
        "marl.evaluation.exploitability",
        "marl.evaluation.tabular",
        "marl.evaluation.tree",
    ),
    "marl.files": ("marl.base.files",),
    "marl.foreign": ("marl.agents.foreign",),
    "marl.learner": ("marl.learning.learner",),
    "marl.lock": ("marl.base.lock",),
    "marl.memory": ("marl.base.memory",),
    "marl.networks": ("marl.learning.networks",),
    "marl.optimizers": ("marl.learning.optimizers",),
    "marl.pairwise": (
        "marl.algorithms.opponent_shaping.learner",
        "marl.algorithms.opponent_shaping.networks",
        "marl.algorithms.opponent_shaping.encounters",
        "marl.algorithms.opponent_shaping.agent",
    ),
    "marl.picture": ("marl.base.picture",),
    "marl.plot": ("marl.training.plot", "marl.training.curves", "marl.training.statistics", "marl.base.bootstrap"),
    "marl.population": ("marl.training.population",),
    "marl.recurrent": ("marl.learning.recurrent",),
    "marl.replay": ("marl.learning.replay",),
    "marl.returns": ("marl.learning.returns", "marl.rollout.recording"),
    "marl.rollout": ("marl.rollout.loop", "marl.rollout.recording"),
    "marl.rowwise": ("marl.learning.rowwise",),
    "marl.runlog": ("marl.training.runlog", "marl.base.display"),
    "marl.scripted": ("marl.agents.scripted",),
    "marl.search.agent": ("marl.algorithms.zero.agent",),
    "marl.search.learner": ("marl.algorithms.zero.learner",),
    "marl.search.networks": ("marl.algorithms.zero.networks",),
    "marl.search.positions": ("marl.algorithms.zero.replay",),
    "marl.search.symmetry": ("marl.algorithms.zero.symmetry",),
    "marl.seating": ("marl.rollout.seating",),
    "marl.shards": ("marl.learning.shards",),
    "marl.solved": ("marl.evaluation.solved_games",),
    "marl.spread": ("marl.base.intervals",),
    "marl.sweep": ("marl.training.sweep",),
    "marl.team": ("marl.algorithms.value_factorization.networks", "marl.algorithms.value_factorization.agent"),
    "marl.terminal": ("marl.base.terminal",),
    "marl.types": ("marl.rollout.types",),
    "marl.yaml": ("marl.base.yaml",),
    "tournaments.curves": ("tournaments.reports.curves",),
    "tournaments.heatmap": ("tournaments.reports.heatmap",),
    "tournaments.match": ("tournaments.playing.match",),
    "tournaments.metagame": ("tournaments.ratings.matchups",),
    "tournaments.ratings": (
        "tournaments.ratings.elo",
        "tournaments.ratings.davidson",
        "tournaments.ratings.covariance",
        "tournaments.records.results",
        "tournaments.ratings.payoffs",
    ),
    "tournaments.report": ("tournaments.reports.report", "tournaments.reports.summary"),
    "tournaments.schedule": ("tournaments.records.fixture", "tournaments.schedules.round_robin"),
    "tournaments.store": (
        "tournaments.records.store",
        "tournaments.records.played",
        "tournaments.records.columns",
        "tournaments.records.file",
    ),
}
# Names that changed in their new module.
RENAMED: dict[str, str] = {
    "marl.algorithms.concaveq.PolicyAgent": "TeamPolicyAgent",
    "marl.algorithms.ippo.PolicyAgent": "PpoAgent",
    "marl.algorithms.lola.along": "directional_derivative",
    "marl.algorithms.lola.paid_later": "discounted_rewards",
    "marl.algorithms.muzero.Imagination": "MuZeroInference",
    "marl.algorithms.value_factorization.MonotoneOfMemories": "MonotoneOfHidden",
    "marl.algorithms.value_factorization.Nothing": "Unmixed",
    "marl.config.Evaluation": "EvaluationConfig",
    "marl.config.Opponents": "OpponentsConfig",
    "marl.entrants.enter": "load_entrant",
    "marl.entrants.entered": "load_entrants",
    "marl.entrants.panel_of": "load_panel",
    "marl.episodic.EpisodicConfig": "TeamLearnerConfig",
    "marl.episodic.EpisodicLearner": "TeamLearner",
    "marl.pairwise.ActorCritic": "PolicyAndQ",
    "marl.pairwise.PairwiseConfig": "OpponentShapingConfig",
    "marl.pairwise.PairwiseLearner": "OpponentShapingLearner",
    "marl.pairwise.PolicyAgent": "ActorAgent",
    "marl.pairwise.at": "of_seats",
    "marl.search.agent.PolicyAgent": "PriorAgent",
    "marl.search.networks.Asked": "NetworkInference",
    "marl.search.networks.Judge": "PolicyValueInference",
    "marl.search.networks.seen": "encoded",
    "marl.search.symmetry.turned_over": "transform",
    "marl.plot.Run": "LoggedRun",
    "marl.rollout.episodes": "play_episodes",
    "marl.rollout.play": "play_steps",
    "marl.seating.seat": "by_turns",
    "marl.shards.cut": "split",
    "marl.team.TeamConfig": "TeamNetworkConfig",
}
# Modules whose names are functions now.
FUNCTIONS = {
    "marl.evaluate": "marl.evaluation.evaluate",
    "marl.play": "marl.cli.person",
    "marl.train": "marl.training.train",
}


def getter(old: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module that is still there, for the names that moved out of it."""

    def getattribute(name: str) -> Any:
        module = sys.modules[old]
        if PathFinder.find_spec(f"{old}.{name}", vars(module).get("__path__", [])):  # a submodule, not imported yet
            raise _absent(old, name)
        new, value = _find(old, name)
        new = _public(value) or _defined(value) or new
        _warn(f"{old}.{name}", new)
        setattr(module, name, value)
        return value

    return getattribute


def install() -> None:
    """Let the modules that are gone be imported; Python asks for them last, so a module that is there comes first."""
    if _FORWARDER not in sys.meta_path:
        sys.meta_path.append(_FORWARDER)


class Forwarder:
    """Find and load the modules that are gone. Base classes of importlib.abc would double the time of `import marl`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in FUNCTIONS:
            raise ModuleNotFoundError(
                f"'{fullname}' is a function now, not a module; what was in the module is in '{FUNCTIONS[fullname]}'",
                name=fullname,
            )
        return ModuleSpec(fullname, self) if fullname in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        _warn(old, f"in {' and '.join(MOVED[old])}")
        module.__dict__["__getattr__"] = lambda name: _find(old, name)[1]


_FORWARDER = Forwarder()


def _find(old: str, name: str) -> tuple[str, Any]:
    """Return the new name of `name` of an old module, and its value; raises AttributeError if none has it."""
    wanted = RENAMED.get(f"{old}.{name}", name)
    if not name.startswith("__"):
        for new in MOVED[old]:
            if hasattr(found := importlib.import_module(new), wanted):
                return f"{new}.{wanted}", getattr(found, wanted)
    raise _absent(old, name)


def _absent(old: str, name: str) -> AttributeError:
    return AttributeError(f"module '{old}' has no attribute '{name}'", name=name)


def _public(value: Any) -> str:
    """Return the name under which users import a value, `marl.Agent`; an empty string where it is not public."""
    marl = sys.modules["marl"]
    name = getattr(value, "__name__", "")
    return f"marl.{name}" if name in marl.__all__ and getattr(marl, name) is value else ""


def _defined(value: Any) -> str:
    """Return the name of a class or a function of ours where it is defined, as other modules import it, too."""
    module, name = getattr(value, "__module__", None) or "", getattr(value, "__name__", "")
    return f"{module}.{name}" if module.partition(".")[0] in ("games", "marl", "tournaments") and name else ""


def _warn(old: str, new: str) -> None:
    warnings.warn(
        f"'{old}' is {new} now, and public names are in 'marl'; the old name works until {UNTIL}",
        DeprecationWarning,
        stacklevel=3,
    )
