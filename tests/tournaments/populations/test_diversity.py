"""Partners that are paid for being different: from whom, what they become, and the same bytes after every kill."""

import json
import shutil

import numpy as np
import pytest

from games.errors import UserError
from marl.agents import checkpoint
from tests.tournaments.populations.bytes import contents, games
from tests.tournaments.populations.kills import killed_everywhere
from tests.tournaments.populations.test_loop import run
from tests.tournaments.populations.test_partners_loop import TINY, config
from tournaments.populations.histories import history_of
from tournaments.populations.partners import loop as partners
from tournaments.populations.partners.diversity import most_compatible, opponents, worth
from tournaments.populations.report import write_report

SMALL = TINY | {"set": TINY["set"] | {"steps": 300}, "partners": 3, "learners": 1}
KINDS = {"entropy": {"entropy": 0.5}, "cross_play": {"cross_play": 1.0}}


def small(kind, **fields):
    return config(**SMALL | {"diversity": KINDS[kind]} | fields)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a function that runs a small population of each kind, once; it returns the folder."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind) / "run"
            run(small(kind), made[kind])
        return made[kind]

    return of


def test_who_fits_best_by_hand():
    returns = np.array([[9.0, 4.0, 2.0], [0.0, 8.0, 3.0], [2.0, 1.0, 7.0]])  # together: 01 2, 02 2, 12 2
    assert most_compatible(returns) == [[1, 2], [0, 2], [0, 1]]
    assert worth(returns) == {"self_play": 8.0, "cross_play": 2.0, "compatible": 2.0}
    returns[0, 1] = 5.0
    assert most_compatible(returns) == [[1], [0], [0, 1]]
    assert worth(returns)["compatible"] == pytest.approx((2.5 + 2.5 + 2.0) / 3)
    assert opponents([]) is None and opponents(["a", "b"])["share"] == 0.5


def test_a_partner_is_paid_for_what_the_others_were_when_its_round_began(whole):
    folder = whole("entropy")
    name = "partner-0001"
    ends = [
        {
            each: checkpoint.read(checkpoint.newest(folder / "members" / f"partner-{each:04d}" / f"{number:04d}"))[
                "digest"
            ]
        }
        for number in range(3)
        for each in range(3)
    ]
    for number in (1, 2):
        trained = checkpoint.read(checkpoint.newest(folder / "members" / name / f"{number:04d}"))["config"]
        (term,) = trained["reward_terms"]
        before = [next(iter(end.values())) for end in ends[3 * (number - 1) : 3 * number]]
        assert term == {"name": "entropy", "weight": 0.5, "agents": [f"digest:{digest}" for digest in before]}
        assert trained["opponents"]["agents"] == []
    first = checkpoint.read(checkpoint.newest(folder / "members" / name / "0000"))["config"]
    assert "reward_terms" not in first and not (folder / "members" / "held_out-0000" / "0001").exists()
    assert not any("reward_terms" in _config(folder / member.checkpoint) for member in history_of(folder).members[3:])


def test_a_partner_meets_who_fits_best(whole):
    folder = whole("cross_play")
    for number in (1, 2):
        decided = json.loads((folder / "rounds" / f"{number:04d}" / "decision.json").read_text())
        for name, met in decided["met"].items():
            trained = _config(checkpoint.newest(folder / "members" / name / f"{number:04d}"))
            assert [entry for entry in trained["opponents"]["agents"]] == [f"digest:{digest}" for digest in met]
            assert trained["opponents"]["share"] == 0.5
            assert trained["reward_terms"] == [{"name": "cross_play", "weight": 1.0}]
        assert set(decided["earned"]) == {"self_play", "cross_play", "compatible"}


def _config(made):
    return checkpoint.read(made)["config"]


def test_a_weight_of_zero_changes_no_byte(tmp_path):
    settings = {"partners": 2, "learners": 1, "set": SMALL["set"]}
    run(config(**settings), tmp_path / "plain")
    for number, diversity in enumerate(({"entropy": 0}, {"cross_play": 0.0})):
        run(config(diversity=diversity, **settings), tmp_path / str(number))
        assert contents(tmp_path / str(number)) == contents(tmp_path / "plain")


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_workers_changes_no_byte(tmp_path, whole, kind):
    run(small(kind, workers=2), tmp_path)
    assert contents(tmp_path) == contents(whole(kind)) and games(tmp_path) == games(whole(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_changes_no_byte(tmp_path, whole, monkeypatch, kind):
    folder = tmp_path / "killed"
    kills = killed_everywhere(
        monkeypatch,
        lambda: run(small(kind), folder, resume=True),
        (partners, "write_population"),
        late=kind == "entropy",
        every=5,
    )
    assert kills >= 5
    assert contents(folder) == contents(whole(kind)) and games(folder) == games(whole(kind))


@pytest.mark.parametrize("lost", ["members/partner-0001/0001", "members/partner-0000", "rounds", "journal.jsonl"])
def test_what_is_lost_is_made_again_from_the_rest(tmp_path, whole, lost):
    folder = tmp_path / "run"
    shutil.copytree(whole("cross_play"), folder)
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(small("cross_play"), folder, resume=True)
    assert contents(folder) == contents(whole("cross_play")) and games(folder) == games(whole("cross_play"))


def test_what_has_begun_says_what_it_does(tmp_path, whole):
    folder = tmp_path / "run"
    shutil.copytree(whole("cross_play"), folder)
    history = history_of(folder)
    assert history.doing == "it is done" and history.rounds_over == 4 and len(history.pool) >= 6
    assert "0.5" not in history.made_by(history.members[0])
    assert history.made_by(history.members[0]).endswith("with diversity: cross_play 1")
    assert history.found[0]["pool"].keys() == {"self_play", "cross_play", "gap"}
    page = write_report(history).read_text()
    assert "Partners that differ" in page and "with the one that fits best" in page
    shutil.rmtree(folder / "rounds" / "0003")
    shutil.rmtree(folder / "rounds" / "0004")
    shutil.rmtree(folder / "members" / "partner-0002" / "0002")
    assert history_of(folder).doing == "partners train to differ: 2 of 3 are done"
    shutil.rmtree(folder / "members" / "partner-0002" / "0001")
    for name in ("partner-0000", "partner-0001"):
        for number in ("0001", "0002"):
            shutil.rmtree(folder / "members" / name / number)
    assert history_of(folder).doing.startswith("partners and held-out agents train by self-play: 5 of 5")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"diversity": "entropie"}, "did you mean 'entropy'?"),
        ({"diversity": {"entropy": -1}}, "expected a number of at least 0, got -1"),
        ({"diversity": {"entropy": 1, "cross_play": 1}}, "expected one of entropy and cross_play, got both"),
        ({"diversity": {}}, "expected one of entropy and cross_play, got neither"),
        ({"diversity": "entropy", "partners": 1}, "expected two partners or more"),
        ({"diversity": "entropy", "set": {"algorithm": "iql"}}, "those of iql tell none"),
        (
            {
                "diversity": "entropy",
                "set": TINY["set"] | {"reward_terms": [{"name": "entropy", "weight": 1, "agents": ["random"]}]},
            },
            "diversity is a reward term of partners, and their config has others",
        ),
    ],
)
def test_what_does_not_fit(fields, sentence):
    with pytest.raises(UserError) as caught:
        config(**fields).checked()
    assert sentence in str(caught.value)


def test_the_name_alone_stands_for_its_weight():
    assert config(diversity="entropy").diversity.entropy == 0.01
    assert config(diversity="cross_play").diversity.cross_play == 1.0


LEVERS = {
    "set": TINY["set"]
    | {
        "game": "matrix(game=lever)",
        "steps": 24_000,
        "stretch": 2_000,
        "num_envs": 64,
        "algorithm.minibatch_size": 512,
        "algorithm.learning_rate": 0.02,
    },
    "learners": 1,
    "seeds": 20,
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_partners_that_avoid_each_other_pull_distinct_levers(tmp_path, seed):
    """Six partners by themselves share levers; by LIPO no two do, and each still earns what it can alone."""
    plain = run(config(partners=6, seed=seed, **LEVERS), tmp_path / "plain")
    apart = run(config(partners=6, seed=seed, diversity="cross_play", **LEVERS), tmp_path / "apart")
    together = [np.array(history.payoff(history.rounds)["payoff"])[0][:6, :6] for history in (plain, apart)]
    earned = [worth(paid) for paid in together]
    assert earned[1]["compatible"] < 0.1 < earned[0]["compatible"]
    assert earned[1]["self_play"] > 0.85
