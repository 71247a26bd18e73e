"""What a process keeps from one batch of games to the next: agents that it has loaded, and its environments.

Loading takes longer than a game: an agent is read, verified and built; a class of a user's starts a process. What is
kept is bounded, and the agents that were asked least recently go first. An agent that is loaded again is the same one,
or the run ends (its digest says so); so results do not depend on what is kept.
"""

from collections.abc import Collection, Sequence

from games.contract import Spec, VecEnv
from games.errors import RunFailed, UserError
from games.registry import make
from marl.agents.entrants import Entrant
from marl.agents.load import load_entrant

MOST_WEIGHTS = 1 << 29  # bytes of weights of the agents that a process keeps
MOST_AGENTS = 1000
MOST_FOREIGN = 64  # each is a process of its own

Key = tuple[str, str, float]  # the game, the agent's reference, the seconds for a decision


class Held:
    """Agents and an environment of a process. Those of the call in hand stay, whatever the bounds."""

    def __init__(self) -> None:
        self._entrants: dict[Key, Entrant] = {}  # the least recently asked first
        self._venv: tuple[str, VecEnv] | None = None

    def entrants(
        self, game: str, references: Sequence[str], spec: Spec, decision_seconds: float, digests: Collection[str]
    ) -> list[Entrant]:
        """Return the agents of some games, in the order of their references.

        Raises RunFailed if one of them cannot be loaded, or is another one than those in `digests`.
        """
        found = []
        for text in references:
            entrant = self._entrants.pop((game, text, decision_seconds), None)
            if entrant is not None and entrant.digest not in digests:
                entrant.rest()  # its class or checkpoint has changed; a process of its own ends
                entrant = None
            if entrant is None:
                entrant = _loaded(text, spec, decision_seconds, digests)
            self._entrants[game, text, decision_seconds] = entrant
            found.append(entrant)
        self._make_room(len(found))
        return found

    def take_venv(self, game: str, num_envs: int) -> VecEnv:
        """Return an environment, which nobody else has until it comes back (`give_venv`)."""
        held, self._venv = self._venv, None
        if held is not None and held[0] == game and held[1].num_envs == num_envs:
            return held[1]
        return make(game, num_envs)

    def give_venv(self, game: str, venv: VecEnv) -> None:
        """Keep an environment for the next call, in place of the one before."""
        self._venv = game, venv

    def dismiss(self) -> None:
        """Forget everything, and end the processes of users' classes."""
        for entrant in self._entrants.values():
            entrant.rest()
        self._entrants.clear()
        self._venv = None

    def _make_room(self, busy: int) -> None:
        """Let the agents that were asked least recently go, until the others are within the bounds."""
        entrants = list(self._entrants.items())
        foreign, size = sum(e.foreign for _, e in entrants), sum(e.size for _, e in entrants)
        for key, entrant in entrants[: len(entrants) - busy]:
            if len(self._entrants) <= MOST_AGENTS and foreign <= MOST_FOREIGN and size <= MOST_WEIGHTS:
                return
            entrant.rest()
            del self._entrants[key]
            foreign, size = foreign - entrant.foreign, size - entrant.size


def _loaded(text: str, spec: Spec, decision_seconds: float, digests: Collection[str]) -> Entrant:
    try:
        entrant = load_entrant(text, spec, decision_seconds=decision_seconds)
    except UserError as error:
        raise RunFailed(
            f"the agent '{text}' cannot be loaded ({error}); what was played is stored: mend it, and run again to go on"
        ) from error
    if entrant.digest not in digests:
        entrant.rest()
        raise RunFailed(f"the agent '{entrant.reference}' changed while it was being played; run again to go on")
    return entrant
