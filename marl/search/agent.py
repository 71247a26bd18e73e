"""Agents that search before they move, all their games in one call."""

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
from marl.rollout.types import Decision, Hidden, View
from marl.search.evaluators import Playouts
from marl.search.information import DecoupledUct, InformationSearch, RegretMatching
from marl.search.models import Model, exact
from marl.search.search import Found, Search
from marl.search.selection import Gumbel, Rule, Uct
from marl.search.values import scaled

__getattr__ = getter(__name__)  # what moved out of this module

MEMORY = np.dtype(
    [
        ("decisions", np.int64),  # so far
        ("lost", np.bool_),  # the player's own value has been below `resign_below`
        ("stays", np.bool_),  # it would not give up even then
        ("kept", np.object_),  # what its last search knows of what has come since: Known, or None
    ]
)


class SearchAgent:
    """Play what a search finds best; the first `sampled` decisions of a game are drawn from the search's policy.

    `model(view)` is what the search asks of the world, from the positions of a view on. It pickles, so that the agent
    does: an object, or a partial of a function that a module names.
    A share of the decisions, `cheap_share`, is searched with `cheap` simulations only (playout cap randomization, Wu
    2019, https://arxiv.org/abs/1902.10565): more games for the same price, and no policy is learned from those.
    A player whose own value, scaled to [-1, 1], has been below `resign_below` gives up: it plays on, so that outcomes
    stay true, but all its further decisions are cheap. In a share `no_resign_share` of its games it would not.
    With `leaves` above 1 that many walks go down a tree before their ends are judged together: faster where few games
    are searched at a time. With `reuse` a search goes on from what the player's last one knows of the position: what is
    played is then no function of the position and the key alone. Raises UserError for reuse by Gumbel's rule, and for
    no leaves.

    What it chose comes with `policy` [B, A], `root_value` [B, N] and `searched` [B], whether the search was a full one;
    where players may give up with `would_resign` [B], whether one that stays would do so now.
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
    ) -> None:
        if leaves < 1:
            raise UserError(f"a search walks to at least 1 leaf of a tree at a time, got leaves={leaves}")
        if reuse and isinstance(rule, Gumbel):
            raise UserError(
                "reuse=true goes on from the visits of an earlier search, and sequential halving (rule: gumbel) counts "
                "a root's from 0; leave it out"
            )
        self._spec, self._model, self._rule = spec, model, rule
        self._simulations, self._sampled = simulations, sampled
        self._cheap, self._cheap_share = cheap, cheap_share
        self._resign_below, self._no_resign_share, self._reuse = resign_below, no_resign_share, reuse
        win = spec.return_bounds[1] if spec.return_bounds and not spec.step_rewards else np.inf
        self._settings: dict[str, Any] = {"leaves": leaves, "solve": solve, "decided": decided, "win": win}

    def initial_hidden(self, rows: int) -> Hidden:
        memory = np.zeros(rows, MEMORY)
        memory["kept"] = None
        return memory

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        first = hidden["decisions"] == 0
        stays = np.where(first, uniform(fold(view.key, 6)) < self._no_resign_share, hidden["stays"])
        full = (uniform(fold(view.key, 3)) >= self._cheap_share) & (stays | ~hidden["lost"])
        search = self.begin(view)
        budget = np.where(full, self._simulations, self._cheap)
        found = search.run(fold(view.key, 4), budget, hidden["kept"] if self._reuse else None)
        policy = found.dense(found.policy, self._spec.num_actions)
        drawn = draw(fold(view.key, 5), policy.astype(np.float32))
        action = np.where(hidden["decisions"] < self._sampled, drawn, found.best)
        extras = {"policy": policy.astype(np.float32), "root_value": found.value.astype(np.float32), "searched": full}
        after = hidden.copy()
        after["decisions"] += 1
        if self._resign_below > -1:
            own = scaled(found.value, self._spec)[np.arange(len(view)), view.player]
            after["lost"] |= own < self._resign_below
            after["stays"] = stays
            extras["would_resign"] = after["lost"] & ~hidden["lost"] & stays
        if self._reuse:
            after["kept"] = search.keep(action)
        return Decision(action, extras), after

    def begin(self, view: View) -> Search:
        """Return a search of the positions of a view."""
        # A rule keeps what it drew at the roots: each search has its own.
        rule = replace(self._rule)  # type: ignore[type-var]
        return Search(self._model(view), rule, bounds=self._spec.return_bounds, **self._settings)

    def search(self, view: View, keys: Keys, budget: NDArray[np.int64]) -> Found:
        """Search the positions of a view, each by its own budget of simulations."""
        return self.begin(view).run(keys, budget)


class UctAgent:
    """Monte-Carlo tree search over random playouts, for every game whose positions can be searched.

    UCB1 with proven values where all is seen and players take turns, any number of them, with chance; decoupled, on
    positions that the player cannot tell from the true one, elsewhere: `mixes` plays the average strategy of regret
    matching instead. Unlike `mcts`, which is OpenSpiel's own and an anchor, it plays any game with positions. `reuse`
    keeps the part of the last tree that the game has come to.
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
        if not spec.searchable:
            raise UserError(_no_positions(spec, "uct"))
        if not spec.perfect_information and not spec.resamples:
            raise UserError(
                f"uct draws positions that a player cannot tell from the true one, and '{spec.name}' cannot draw any; "
                "choose another agent, such as random, or add `resample(player, key)` and `information(player)` to the "
                "positions of a game of your own"
            )
        if simulations < 1 or playouts < 1:
            raise UserError(f"uct needs at least 1 simulation and 1 playout, got {simulations} and {playouts}")
        if not uct_c >= 0:
            raise UserError(f"uct explores by uct_c of at least 0, got {uct_c}")
        self._spec, self._simulations, self._mixes, self._rule = spec, simulations, mixes, Uct(uct_c)
        self._evaluator = Playouts(spec, playouts)
        self._in_the_open = spec.turns == "sequential" and spec.perfect_information
        if mixes and self._in_the_open:
            raise UserError(
                f"mixes=true is for simultaneous moves and hidden information, and '{spec.name}' has neither"
            )
        if reuse and not self._in_the_open:
            raise UserError(
                f"reuse=true keeps trees of positions, and those of '{spec.name}', which hides information or lets "
                "players move at the same time, are of what players know; leave it out"
            )
        self._reuse = reuse
        model = partial(exact, spec, self._evaluator)
        self._searcher = SearchAgent(spec, model, self._rule, simulations=simulations, solve=solve)

    def initial_hidden(self, rows: int) -> Hidden:
        return np.full(rows, None) if self._reuse else None  # what the last search has left: Known, or None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        budget = np.full(len(view), self._simulations)
        if self._in_the_open:
            open_search = self._searcher.begin(view)
            best = open_search.run(view.key, budget, hidden).best
            return Decision(best), open_search.keep(best) if self._reuse else None
        assert view.states is not None, "the constructor refuses games without positions"
        chooser = RegretMatching() if self._mixes else DecoupledUct(self._rule)
        search = InformationSearch(self._spec, self._evaluator, chooser)
        return Decision(search.run(view.states(), view.player, view.key, budget).best), None


def refuse(spec: Spec, name: str) -> None:
    """Raise UserError for a game that a search of positions cannot play: nothing hidden, one mover at a time."""
    if not spec.searchable:
        raise UserError(_no_positions(spec, name))
    if spec.turns != "sequential" or not spec.perfect_information:
        what = "hides information" if spec.turns == "sequential" else "lets players move at the same time"
        raise UserError(
            f"{name} searches games of turns and perfect information, and '{spec.name}' {what}; "
            "ippo learns it, and uct may play it"
        )


def _no_positions(spec: Spec, name: str) -> str:
    which = twin(spec.name) or "a game that has them (`marl games list`)"
    return f"{name} needs positions to search, and '{spec.name}' has none here; choose {which}, with env_workers: 0"
