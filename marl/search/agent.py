"""Agents that search before each move, with one search call for all games of a batch."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec
from games.errors import UserError
from games.keys import Keys, draw, fold, uniform
from games.registry import twin
from marl.base.moved import getter
from marl.rollout.agent import LogProbs, Policy, Value, log_probs_of, one_hot
from marl.rollout.types import Decision, Explanation, Hidden, View
from marl.search.evaluators import Playouts
from marl.search.explanations import explanations, principal_lines
from marl.search.information import DecoupledUct, InformationSearch, RegretMatching
from marl.search.models import Model, exact
from marl.search.search import Search, SearchResult
from marl.search.selection import Gumbel, Rule, Uct
from marl.search.values import scaled

__getattr__ = getter(__name__)  # what moved out of this module

HIDDEN = np.dtype(
    [
        ("decisions", np.int64),  # the player's decisions so far
        ("lost", np.bool_),  # the player's own value has been below `resign_below`
        ("stays", np.bool_),  # the player never resigns in this game
        ("kept", np.object_),  # Subtree of its last search below the move it made, or None
    ]
)
# Draws of a decision's key.
FULL_SEARCH = 3  # whether the search is a full or a cheap one
SEARCH = 4  # the search
SAMPLED_MOVE = 5  # the action, where it is sampled from the search's policy
NO_RESIGN = 6  # at the first decision: whether the player never resigns in this game


class SearchAgent:
    """Play the best action of a search; the first `sampled` decisions of a game are sampled from the search's policy.

    `model(view)` returns the model of the search, whose roots are the positions of the view. It must pickle with the
    agent: an object, or a partial of a function of a module.
    A share `cheap_share` of the decisions is searched with `cheap` simulations only (playout cap randomization, Wu
    2019, https://arxiv.org/abs/1902.10565): more games at the same cost; their policies are not learned.
    A player whose own value, scaled to [-1, 1], has been below `resign_below` resigns: it plays on, so that the outcome
    follows from the rules, but its further searches are cheap. In a share `no_resign_share` of its games it never does.
    With `leaves` > 1 that many walks go down a tree before their leaves are evaluated together: faster for few games.
    With `reuse` a search starts from the subtree of the player's last one, so that its action depends on more than the
    position and the key. Raises UserError for reuse with Gumbel's rule, and for leaves < 1.
    The agent has a `policy` only if its searches draw nothing, which the caller promises by `draws=False`: neither the
    rule nor the evaluations nor the game, and all searches are full ones. Then it is certain of its action, except for
    the `sampled` decisions. Its `value` is that of the search's root.

    Extras of a decision: `policy` [B, A], `root_value` [B, N] and `searched` [B], whether the search was a full one;
    with resignation `would_resign` [B], whether a player that never resigns would do so now.
    """

    def __init__(
        self,
        spec: Spec,
        model: Callable[[View], Model],
        rule: Rule,
        *,
        simulations: int,
        sampled: int = 0,
        cheap: int = 0,
        cheap_share: float = 0.0,
        resign_below: float = -1.0,
        no_resign_share: float = 0.0,
        leaves: int = 1,
        solve: bool = False,
        decided: bool = False,
        reuse: bool = False,
        draws: bool = True,
    ) -> None:
        if leaves < 1:
            raise UserError(f"a search needs at least 1 leaf at a time, got leaves={leaves}")
        if reuse and isinstance(rule, Gumbel):
            raise UserError(
                "reuse=true starts from the visits of an earlier search, but sequential halving (rule: gumbel) counts "
                "visits from 0; leave it out"
            )
        self._spec, self._model, self._rule = spec, model, rule
        self._simulations, self._sampled = simulations, sampled
        self._cheap, self._cheap_share = cheap, cheap_share
        self._resign_below, self._no_resign_share, self._reuse = resign_below, no_resign_share, reuse
        self._draws = draws
        win = spec.return_bounds[1] if spec.return_bounds and not spec.step_rewards else np.inf
        self._settings: dict[str, Any] = {"leaves": leaves, "solve": solve, "decided": decided, "win": win}

    def initial_hidden(self, rows: int) -> Hidden:
        hidden = np.zeros(rows, HIDDEN)
        hidden["kept"] = None
        return hidden

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        stays, full = self._budgeted(view, hidden)
        search, result = self._search(view, hidden, full)
        policy, action = self._choose(result, view, hidden)
        extras = {"policy": policy, "root_value": result.value.astype(np.float32), "searched": full}
        after = hidden.copy()
        after["decisions"] += 1
        if self._resign_below > -1:
            own = scaled(result.value, self._spec)[np.arange(len(view)), view.player]
            after["lost"] |= own < self._resign_below
            after["stays"] = stays
            extras["would_resign"] = after["lost"] & ~hidden["lost"] & stays
        if self._reuse:
            after["kept"] = search.keep(action)
        return Decision(action, extras), after

    def explain(self, view: View, hidden: Hidden) -> list[Explanation]:
        search, result = self._search(view, hidden, self._budgeted(view, hidden)[1])
        action = self._choose(result, view, hidden)[1]
        lines = principal_lines(search, action)
        return explanations(result, action, view.player, self._spec.num_actions, lines)

    def _budgeted(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return whether the players never resign in this game [B], and whether the searches are full ones [B]."""
        first = hidden["decisions"] == 0
        stays = np.where(first, uniform(fold(view.key, NO_RESIGN)) < self._no_resign_share, hidden["stays"])
        return stays, (uniform(fold(view.key, FULL_SEARCH)) >= self._cheap_share) & (stays | ~hidden["lost"])

    def _search(self, view: View, hidden: Hidden, full: NDArray[np.bool_]) -> tuple[Search, SearchResult]:
        search = self.begin(view)
        budget = np.where(full, self._simulations, self._cheap)
        return search, search.run(fold(view.key, SEARCH), budget, hidden["kept"] if self._reuse else None)

    def _choose(
        self, result: SearchResult, view: View, hidden: Hidden
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the searches' policy [B, A] and the actions to play [B]."""
        policy = result.dense(result.policy, self._spec.num_actions).astype(np.float32)
        sampled = draw(fold(view.key, SAMPLED_MOVE), policy)
        return policy, np.where(hidden["decisions"] < self._sampled, sampled, result.best)

    @property
    def policy(self) -> Policy | None:
        """Return the policy; None if searches draw."""
        return None if self._draws else self._policy

    def _policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        decision, after = self.act(view, hidden)
        sampled = (hidden["decisions"] < self._sampled)[:, None]
        return log_probs_of(np.where(sampled, decision.extras["policy"], one_hot(decision.action, view))), after

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        root_value: NDArray[np.float32] = self.act(view, hidden)[0].extras["root_value"]
        return root_value[np.arange(len(view)), view.player]

    def begin(self, view: View) -> Search:
        """Return a search of the positions of a view."""
        # A rule keeps its draws at the roots, so each search has a rule of its own.
        rule = replace(self._rule)  # type: ignore[type-var]
        return Search(self._model(view), rule, bounds=self._spec.return_bounds, **self._settings)

    def search(self, view: View, keys: Keys, budget: NDArray[np.int64]) -> SearchResult:
        """Search the positions of a view, each with its own budget of simulations."""
        return self.begin(view).run(keys, budget)


class UctAgent:
    """Monte-Carlo tree search over random playouts, for every game whose positions can be searched.

    For turns and perfect information, any number of players, and chance: UCB1 with proven values. For other games:
    decoupled UCT on positions that the player cannot tell from the true one, or with `mixes` the average strategy of
    regret matching. `mcts`, OpenSpiel's own search, is a fixed anchor for ratings; this search plays any game with
    positions. `reuse` keeps the subtree of the last search below the present position.
    """

    revision = 1

    def __init__(
        self,
        spec: Spec,
        simulations: int = 100,
        playouts: int = 1,
        uct_c: float = 2**0.5,
        solve: bool = True,
        mixes: bool = False,
        reuse: bool = False,
    ) -> None:
        refuse_unsearchable(spec, "uct")
        if simulations < 1 or playouts < 1:
            raise UserError(f"uct needs at least 1 simulation and 1 playout, got {simulations} and {playouts}")
        if not uct_c >= 0:
            raise UserError(f"uct needs uct_c of at least 0, got {uct_c}")
        self._spec, self._simulations, self._mixes, self._rule = spec, simulations, mixes, Uct(uct_c)
        self._evaluator = Playouts(spec, playouts)
        self._perfect_information_turns = spec.turns == "sequential" and spec.perfect_information
        if mixes and self._perfect_information_turns:
            raise UserError(
                f"mixes=true is for simultaneous moves and hidden information, and '{spec.name}' has neither"
            )
        if reuse and not self._perfect_information_turns:
            raise UserError(
                f"reuse=true is for games of turns and perfect information, and '{spec.name}' hides information or "
                "lets players move at the same time; leave it out"
            )
        self._reuse = reuse
        model = partial(exact, spec, self._evaluator)
        self._searcher = SearchAgent(spec, model, self._rule, simulations=simulations, solve=solve)

    def initial_hidden(self, rows: int) -> Hidden:
        return np.full(rows, None) if self._reuse else None  # the Subtree that the last search left, or None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        search, result = self._search(view, hidden)
        return Decision(result.best), search.keep(result.best) if search and self._reuse else None

    def preferences(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return the logarithms of the search's policy [B, A]; the action that it plays stands above all."""
        _, result = self._search(view, hidden)
        ranked = log_probs_of(result.dense(result.policy, self._spec.num_actions))
        ranked[np.arange(len(view)), result.best] = 1
        return ranked

    def explain(self, view: View, hidden: Hidden) -> list[Explanation]:
        search, result = self._search(view, hidden)
        lines = principal_lines(search, result.best) if search else None
        return explanations(result, result.best, view.player, self._spec.num_actions, lines)

    def _search(self, view: View, hidden: Hidden) -> tuple[Search | None, SearchResult]:
        """Search; the tree of a search in which players do not know their positions tells no lines, and is None."""
        budget = np.full(len(view), self._simulations)
        if self._perfect_information_turns:
            search = self._searcher.begin(view)
            return search, search.run(view.key, budget, hidden)
        assert view.states is not None, "the constructor refuses games without positions"
        rule = RegretMatching() if self._mixes else DecoupledUct(self._rule)
        return None, InformationSearch(self._spec, self._evaluator, rule).run(
            view.states(), view.player, view.key, budget
        )

    @property
    def value(self) -> Value | None:
        """Return the value of the search's root; None where a player does not know its position."""
        return self._value if self._perfect_information_turns else None

    def _value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        found = self._search(view, hidden)[1]
        return found.value[np.arange(len(view)), view.player].astype(np.float32)


def refuse(spec: Spec, name: str) -> None:
    """Raise UserError for a game without positions, with hidden information, or with simultaneous moves."""
    if not spec.searchable:
        raise UserError(_no_positions(spec, name))
    if spec.turns != "sequential" or not spec.perfect_information:
        what = "hides information" if spec.turns == "sequential" else "lets players move at the same time"
        raise UserError(
            f"{name} searches games of turns and perfect information, and '{spec.name}' {what}; "
            "ippo learns it, and uct may play it"
        )


def refuse_unsearchable(spec: Spec, name: str) -> None:
    """Raise UserError for a game without positions, and for one with hidden information that cannot be drawn anew."""
    if not spec.searchable:
        raise UserError(_no_positions(spec, name))
    if not spec.perfect_information and not spec.resamples:
        raise UserError(
            f"{name} draws positions that a player cannot tell from the true one, and '{spec.name}' cannot draw any; "
            "choose another agent, such as random, or add `resample(player, key)` and `information(player)` to the "
            "positions of a game of your own"
        )


def _no_positions(spec: Spec, name: str) -> str:
    which = twin(spec.name) or "a game that has them (`marl games list`)"
    return f"{name} needs positions to search, and '{spec.name}' has none here; choose {which}, with env_workers: 0"
