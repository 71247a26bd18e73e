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
from tournaments.populations.partners import config as partners_config
from tournaments.populations.partners import diversity
from tournaments.populations.partners import loop as partners
from tournaments.populations.partners.diversity import most_compatible, opponents, worth
from tournaments.populations.report import write_report

SMALL = TINY | {"set": TINY["set"] | {"steps": 300, "evaluation.seeds": 4}, "partners": 3, "learners": 1}
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
            assert trained["opponents"]["agents"] == [f"digest:{digest}" for digest in met]
            assert trained["opponents"]["share"] == 0.5
            assert trained["reward_terms"] == [{"name": "cross_play", "weight": 1.0}]
        assert set(decided["earned"]) == {"self_play", "cross_play", "compatible"}


def _config(made):
    return checkpoint.read(made)["config"]


@pytest.mark.parametrize("diversity", [{"entropy": 0}, {"cross_play": 0.0}])
def test_a_weight_of_zero_is_as_if_there_were_none(diversity):
    assert not config(diversity=diversity).differs and config(diversity=diversity).rounds == config().rounds == 2
    assert "diversity" not in config().model_dump(mode="json")


@pytest.mark.slow
def test_a_weight_of_zero_changes_no_byte(tmp_path):
    settings = {"partners": 2, "learners": 1, "set": SMALL["set"]}
    run(config(**settings), tmp_path / "plain")
    for number, zero in enumerate(({"entropy": 0}, {"cross_play": 0.0})):
        run(config(diversity=zero, **settings), tmp_path / str(number))
        assert contents(tmp_path / str(number)) == contents(tmp_path / "plain")


@pytest.mark.slow
def test_rounds_of_their_own_change_nothing_but_the_reward(tmp_path, monkeypatch):
    """Partners that train in rounds, paid nothing for being different, are those that train at once."""
    settings = {"partners": 2, "learners": 1, "set": SMALL["set"]}
    plain = run(config(**settings), tmp_path / "plain")
    monkeypatch.setattr(diversity, "reward_terms", lambda kind, _: [])
    rounds = run(config(diversity="entropy", **settings), tmp_path / "rounds")
    assert [member.digest for member in rounds.members] == [member.digest for member in plain.members]
    assert [each["digest"] for each in rounds.pool] == [each["digest"] for each in plain.pool]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_changes_no_byte(tmp_path, whole, monkeypatch, kind):
    folder, expected = tmp_path / "killed", whole(kind)
    kills = killed_everywhere(
        monkeypatch,
        lambda: run(small(kind), folder, resume=True),
        (partners, "write_population"),
        late=kind == "entropy",
        every=3,
    )
    assert kills >= 5
    assert contents(folder) == contents(expected) and games(folder) == games(expected)


@pytest.mark.parametrize("lost", ["members/partner-0001/0001", "rounds"])
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
    assert history.made_by(history.members[0]).startswith("ippo by self-play, with diversity: cross_play 1, seed")
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
    assert history_of(folder).doing == "partners go on to round 1"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"diversity": "entropie"}, "did you mean 'entropy'?"),
        ({"diversity": {"entropy": -1}}, "expected a number of at least 0, got -1"),
        ({"diversity": {"entropy": 1, "cross_play": 1}}, "expected one of entropy and cross_play, got both"),
        ({"diversity": {}}, "expected one of entropy and cross_play, got neither"),
        ({"diversity": "entropy", "partners": 1}, "expected two partners or more"),
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


def test_entropy_is_of_partners_that_tell_their_policy(monkeypatch):
    monkeypatch.setattr(partners_config, "policy_of", lambda agent: None)
    with pytest.raises(UserError, match="diversity: entropy asks partners for their policies, and those of ippo tell"):
        config(diversity="entropy").checked()


def test_the_name_alone_stands_for_its_weight():
    assert config(diversity="entropy").diversity.entropy == 0.01
    assert config(diversity="cross_play").diversity.cross_play == 2.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_partners_that_avoid_each_other_pull_distinct_levers(tmp_path, seed):
    """Nine levers pay 1: whoever shares one leaves it, and each still earns what it can alone."""
    levers = {
        "game": "matrix(game=lever)",
        "steps": 15_000,
        "stretch": 2_500,
        "num_envs": 64,
        "algorithm.minibatch_size": 512,
        "algorithm.learning_rate": 0.02,
        "algorithm.entropy_coefficient": 0.1,
    }
    settings = {"partners": 6, "learners": 1, "seeds": 20, "seed": seed, "set": SMALL["set"] | levers}
    history = run(config(diversity="cross_play", **settings), tmp_path)
    began = [history.decision(number)["earned"]["compatible"] for number in range(1, history.config.stages)]
    ended = worth(np.array(history.payoff(history.rounds)["payoff"])[0][:6, :6])
    assert ended["compatible"] < 0.15 < max(began) and ended["self_play"] > 0.85
