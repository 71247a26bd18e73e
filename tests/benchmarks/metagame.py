"""The meta-game's solvers and tests: alpha-rank beside OpenSpiel's, the size of the test of transitivity, and credit.

python -m tests.benchmarks.metagame alpharank     # docs/explanation/results/tournaments.md has the tables
python -m tests.benchmarks.metagame transitivity
python -m tests.benchmarks.metagame credit
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.stats import chi2

from games.keys import fold_one
from marl.equilibria.alpharank import of_one_population
from tests.tournaments.ratings.test_shapley import quadratic
from tests.tournaments.ratings.test_transitivity import CYCLE, drawn
from tests.tournaments.tables import play
from tournaments.ratings.davidson import count, fit
from tournaments.ratings.shapley import by_permutations, exact, permutations_plan, stratified, stratified_plan
from tournaments.ratings.transitivity import transitivity
from tournaments.records.results import Results


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return the median CPU time of a call."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def measured(size: int) -> np.ndarray:
    """Return an antisymmetric payoff table [size, size]: a skill with noise, as games would measure it."""
    noise = np.random.default_rng(size).normal(0, 0.5, (size, size))
    skill = np.linspace(-1, 1, size)
    return np.asarray(skill[:, None] - skill + (noise - noise.T) / 2)


def alpharank(repeats: int) -> Iterator[str]:
    from open_spiel.python.egt import alpharank as peer

    yield "| strategies | α = 1: CPU-ms | any game | the limit | α swept | OpenSpiel, α = 1 | ratio | difference |"
    yield "|--:|--:|--:|--:|--:|--:|--:|--:|"
    for size in (20, 50, 100, 200):
        matrix, general = measured(size), np.random.default_rng(0).normal(size=(size, size))
        calls: list[Callable[[], Any]] = [
            lambda matrix=matrix: of_one_population(matrix, alpha=1.0),
            lambda general=general: of_one_population(general, alpha=1.0),
            lambda matrix=matrix: of_one_population(matrix, alpha=np.inf),
            lambda matrix=matrix: of_one_population(matrix),
        ]
        ours = [seconds(call, repeats) for call in calls]

        def theirs(matrix: np.ndarray = matrix) -> Any:
            return peer.compute([matrix], m=50, alpha=1.0, use_local_selection_model=False, verbose=False)

        other = seconds(theirs, 1)
        apart = np.abs(np.asarray(theirs()[2]).ravel() - of_one_population(matrix, alpha=1.0)).max()
        cells = " | ".join(f"{1000 * taken:.1f}" for taken in ours)
        yield f"| {size} | {cells} | {1000 * other:.0f} | {other / ours[0]:.0f} | {apart:.0e} |"


def deviance_p(results: Results) -> float:
    """Return the p-value of the deviance of one strength an agent from one a pair, as if games were independent."""
    model, pairs = fit(count(results), None), 0
    likelihood = 0.0
    i, j = results.seats.T
    for a in range(len(results.agents)):
        for b in range(a):
            some = results.where(((i == a) & (j == b)) | ((i == b) & (j == a)))
            alone = fit(count(some), 100.0)
            p = alone.probabilities(some.seats)
            likelihood += float(np.log(p[np.arange(len(some)), some.outcome]).sum())
            pairs += 1
    n = len(results.agents)
    freedom = 3 * pairs - (n - 1) - 2  # each pair has a strength, a seat effect and a draw rate of its own
    return float(chi2.sf(2 * (likelihood - model.log_likelihood), freedom))


def sizes(repeats: int) -> Iterator[str]:
    yield "| agents, seeds | the two games of a seed | rejected at 5 % | by the deviance's χ² |"
    yield "|:--|:--|--:|--:|"
    for agents, seeds in ((4, 12), (4, 50), (8, 20), (20, 50)):
        for together, said in ((0.0, "independent"), (0.7, "alike"), (-0.7, "opposed")):
            rng, found, naive = np.random.default_rng(0), [], []
            for k in range(repeats):
                results = play(agents, seeds, rng, together)[1]
                found.append(transitivity(results, fold_one(1, k)).p)
                if agents == 4 and seeds == 50 and k < 200:
                    naive.append(deviance_p(results))
            other = f"{100 * np.mean(np.array(naive) < 0.05):.1f} %" if naive else ""
            rejected = np.mean(np.array(found, float) < 0.05)
            yield f"| {agents}, {seeds} | {said} | {100 * rejected:.1f} % | {other} |"
    for odds in (0.2, 0.4, 0.6):
        rng = np.random.default_rng(0)
        p = [transitivity(drawn(odds * CYCLE, 30, rng), k).p for k in range(repeats // 4)]
        score, power = 100 / (1 + np.exp(-odds)), 100 * np.mean(np.array(p, float) < 0.05)
        yield f"| rock, paper, scissors at {score:.0f} : {100 - score:.0f}, 30 | independent | {power:.0f} % | |"


def credit(repeats: int) -> Iterator[str]:
    yield "| members, noise | budget | permutations: mean squared error | stratified | ratio |"
    yield "|:--|--:|--:|--:|--:|"
    for members in (8, 10, 12):
        for noise in (0.0, 1.0):
            rng = np.random.default_rng(0)
            for budget in (64, 128, 256, 512):
                errors = np.zeros(2)
                for draw in range(repeats):
                    values = quadratic(members, rng)
                    truth = exact(values, members)
                    for k, (plan_of, estimate) in enumerate(
                        ((permutations_plan, by_permutations), (stratified_plan, stratified))
                    ):
                        plan = plan_of(members, budget, 2 * draw + k)
                        seen = values[plan] + noise * rng.normal(size=len(plan))
                        errors[k] += ((estimate(plan, seen, members) - truth) ** 2).mean() / repeats
                cells = f"{errors[0]:.3f} | {errors[1]:.3f} | {errors[1] / errors[0]:.2f}"
                yield f"| {members}, {noise:g} | {budget} | {cells} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("alpharank", "transitivity", "credit"))
    parser.add_argument("--repeats", type=int)
    given = parser.parse_args(arguments)
    rows = {"alpharank": (alpharank, 5), "transitivity": (sizes, 400), "credit": (credit, 100)}[given.what]
    for row in rows[0](given.repeats or rows[1]):
        print(row, flush=True)


if __name__ == "__main__":
    main()
