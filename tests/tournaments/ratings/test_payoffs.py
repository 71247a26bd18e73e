"""Mean payoffs by hand: what games say of each agent in each seat."""

import math

import pytest
from numpy.testing import assert_allclose

from tournaments.ratings.elo import refusal
from tournaments.ratings.payoffs import MeanPayoff, mean_payoffs
from tournaments.records.results import Result, Results, offended, settle


class TestPayoffs:
    def test_by_hand(self):
        # Agent A holds seat 0 on seeds 0 and 1, seat 1 on seed 0.
        log = [
            Result(("A", "B"), (3.0, 1.0), 0),
            Result(("B", "A"), (2.0, 5.0), 0),
            Result(("A", "B"), (1.0, 0.0), 1),
        ]
        lines = {(p.agent, p.seat): p for p in mean_payoffs(Results.of(log))}
        assert [key for key in lines] == [("A", None), ("A", 0), ("A", 1), ("B", None), ("B", 0), ("B", 1)]
        assert lines["A", None].mean == 3 and lines["A", None].games == 3
        # Deviations by seed: (0 + 2) and −2; SE = sqrt(2/1 · (4 + 4)) / 3; t(0.975, 1) = 12.7062.
        assert lines["A", None].ci95 == pytest.approx(12.7062 * 4 / 3, rel=1e-5)
        assert lines["A", 0].mean == 2 and lines["A", 0].games == 2
        assert lines["A", 1] == MeanPayoff("A", 1, 5.0, None, 1)

    def test_an_agent_in_several_seats_has_played_one_game(self):
        lines = mean_payoffs(Results.of([Result(("A", "B", "A"), (1.0, 2.0, 3.0), k) for k in range(3)]))
        assert [(p.agent, p.seat, p.mean, p.games) for p in lines][:3] == [
            ("A", None, 2, 3),
            ("A", 0, 1, 3),
            ("A", 2, 3, 3),
        ]

    def test_who_broke_a_game_off_was_paid_the_least(self):
        """However little of a game's losses it had seen; the last is a game as old stores hold them."""
        nan = math.nan
        log = [
            Result(("A", "B", "C"), (-3.0, -20.0, 5.0), 0),
            Result(("A", "B", "C"), (-1.0, nan, -1.0), 1, "agent_error"),
            Result(("A", "B", "C"), (-1.0, -1.0, -1.0), 2, "illegal_action"),
            Result(("A", "B", "C"), (-0.5, -1.0, 7.0), 3, "agent_error"),
        ]
        results = Results.of(log)
        assert offended(results).tolist() == [[False] * 3, [True, False, True], [True] * 3, [False, True, False]]
        assert_allclose(
            settle(results, zero_sum=False).payoffs,
            [[-3, -20, 5], [-20, nan, -20], [-20, -20, -20], [-0.5, -20, 7]],
            atol=0,
        )
        assert offended(settle(results, zero_sum=False)).tolist() == offended(results).tolist()
        assert len(settle(Results.of([]), zero_sum=False)) == 0

    def test_who_broke_a_game_off_is_who_the_store_says_whatever_was_paid(self):
        """Paid the same, several offenders, and an offender who was paid the most; a finished game has none."""
        log = [
            Result(("A", "B", "C"), (0.0, 0.0, 0.0), 0, "timeout", offenders=(1,)),
            Result(("A", "B", "C"), (2.0, -5.0, 2.0), 1, "agent_error", offenders=(0, 2)),
            Result(("A", "B", "C"), (-9.0, 3.0, 1.0), 2, "finished", offenders=(1,)),
            Result(("A", "B", "C"), (-1.0, 2.0, -1.0), 3, "left"),
        ]
        results = Results.of(log)
        expected = [[False, True, False], [True, False, True], [False] * 3, [True, False, True]]
        assert offended(results).tolist() == expected
        assert settle(results, zero_sum=False).payoffs.tolist() == [[0, -9, 0], [-9, -5, -9], [-9, 3, 1], [-9, 2, -9]]
        settled = settle(results, zero_sum=True)
        assert settled.payoffs.tolist() == [[4.5, -9, 4.5], [-9, 18, -9], [-9, 3, 1], [-9, 18, -9]]
        assert offended(settled).tolist() == expected

    def test_who_breaks_off_a_zero_sum_game_pays_the_others(self):
        log = [
            Result(("A", "B", "C"), (-30.0, 10.0, 20.0), 0),
            Result(("A", "B", "C"), (-1.0, 0.5, 0.5), 1, "agent_error"),
            Result(("A", "B", "C"), (-1.0, 2.0, -1.0), 2, "illegal_action"),
            Result(("A", "B", "C"), (0.0, 0.0, 0.0), 3, "agent_error"),
        ]
        results = Results.of(log)
        settled = settle(results, zero_sum=True)
        assert settled.payoffs.tolist() == [[-30, 10, 20], [-30, 15, 15], [-30, 60, -30], [0, 0, 0]]
        assert offended(settled).tolist() == offended(results).tolist()
        assert len(settle(Results.of([]), zero_sum=True)) == 0

    def test_a_forfeit_says_nothing_of_the_others(self):
        nan = math.nan
        log = [
            Result(("A", "B", "A"), (2.0, nan, nan), 0, "agent_error"),
            Result(("A", "B", "C"), (4.0, nan, nan), 1, "agent_error"),
            Result(("C", "B", "A"), (1.0, nan, 6.0), 2, "agent_error"),
        ]
        lines = {(p.agent, p.seat): p for p in mean_payoffs(Results.of(log))}
        assert [*lines] == [("B", None), ("A", None), ("A", 0), ("A", 2), ("C", None), ("C", 0)]
        assert lines["A", None].mean == 4 and lines["A", None].games == 3
        assert lines["A", 0].mean == 3 and lines["A", 0].games == 2
        assert lines["C", None] == MeanPayoff("C", None, 1.0, None, 1)
        assert lines["B", None] == MeanPayoff("B", None, None, None, 0)

    def test_refusal(self):
        assert refusal(2, "zero_sum") is None
        assert refusal(3, "zero_sum") is None and refusal(10, "zero_sum") is None
        assert "11 players" in refusal(11, "zero_sum")
        assert "team" in refusal(3, "team") and "general-sum" in refusal(2, "general_sum")
        assert "one player" in refusal(1, "zero_sum")
