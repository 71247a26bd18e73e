"""The configs of population-based training and of partner pools, and what is refused in one sentence."""

import pytest
import torch

from games.errors import UserError
from marl.algorithms.policy_gradient.ippo import Ippo, IppoConfig
from marl.base.origin import typed
from marl.base.schema import Size, dump, load
from tournaments.populations.partners.config import PartnersConfig
from tournaments.populations.pbt.config import PbtConfig
from tournaments.populations.pbt.priors import Choice, Range

PBT = """
method: pbt
train: ippo_kuhn
size: 8
ready: 10_000
anchors: [random]
vary:
  algorithm.learning_rate: {log: [1e-4, 3e-3]}
"""
PARTNERS = """
method: partners
train: ippo_spread
set: {game: spread(players=2), stretch: 10_000}
"""


@pytest.fixture
def checked(tmp_path):
    """Check a config that is written in a file, with changes; return it and what it was checked to be."""

    def check(schema, text, *changes):
        path = tmp_path / "population.yaml"
        path.write_text(text)
        config = load(schema, path, typed(changes))
        return config, config.checked()

    return check


def refusal(check, schema, text, *changes):
    with pytest.raises(UserError) as refused:
        check(schema, text, *changes)
    return str(refused.value)


class WideConfig(IppoConfig):
    """The settings of a plug-in: `memory` shapes what it learns, and is not of its networks."""

    memory: Size = 4
    momentum: float = 0.5


class Wide(Ippo):
    """A plug-in whose state has a tensor of its own."""

    Config = WideConfig

    def __init__(self, config, spec, **rest):
        super().__init__(config, spec, **rest)
        self.memory = torch.zeros(config.memory)

    def state(self):
        return super().state() | {"memory": self.memory}


WIDE = "set={algorithm: {name: 'tests.tournaments.populations.test_configs:Wide'}}"


def vary(setting, prior):
    return f"vary={{{setting}: {prior}}}"


def test_whether_numbers_are_whole_is_read_off_the_setting(checked):
    """`[0, 1]` is a range of an entropy coefficient and of whole numbers: only the setting tells."""
    text = (
        PBT
        + """
  algorithm.entropy_coefficient: {uniform: [0, 1]}
  algorithm.epochs: {uniform: [1, 8]}
  algorithm.minibatch_size: {log: [64, 4096]}
  algorithm.anneal: {choice: [true, false]}
"""
    )
    config, pbt = checked(PbtConfig, text)
    assert pbt.base.config.algorithm["name"] == "ippo" and config.size == 8
    assert pbt.priors == {
        "algorithm.learning_rate": Range(1e-4, 3e-3, log=True),
        "algorithm.entropy_coefficient": Range(0, 1),
        "algorithm.epochs": Range(1, 8, whole=True),
        "algorithm.minibatch_size": Range(64, 4096, log=True, whole=True),
        "algorithm.anneal": Choice([True, False]),
    }


def test_a_prior_may_be_set_by_its_path(checked):
    change = "vary.algorithm.learning_rate={log: [0.01, 0.1]}", "vary.algorithm.clip={uniform: [0.1, 0.3]}"
    _, pbt = checked(PbtConfig, PBT, *change)
    assert pbt.priors == {
        "algorithm.learning_rate": Range(0.01, 0.1, log=True),
        "algorithm.clip": Range(0.1, 0.3),
    }


def test_a_config_is_the_same_after_yaml(checked, tmp_path):
    config, _ = checked(PbtConfig, PBT)
    (tmp_path / "again.yaml").write_text(dump(config))
    assert load(PbtConfig, tmp_path / "again.yaml") == config
    partners, base = checked(PartnersConfig, PARTNERS)
    assert base.config.game.startswith("spread(players=2)") and (partners.partners, partners.held_out) == (8, 4)


def test_what_shapes_tensors_may_not_vary_in_any_learner(checked):
    assert "'algorithm.hidden' changes the shapes of what is learned, so that weights could not be copied" in refusal(
        checked, PbtConfig, PBT, vary("algorithm.hidden", "{choice: [[8], [16]]}")
    )
    assert "'algorithm.memory' changes the shapes" in refusal(
        checked, PbtConfig, PBT, WIDE, vary("algorithm.memory", "{uniform: [2, 9]}")
    )
    _, pbt = checked(PbtConfig, PBT, WIDE, vary("algorithm.momentum", "{uniform: [0, 1]}"))
    assert pbt.priors == {"algorithm.momentum": Range(0, 1)}


@pytest.mark.parametrize(
    ("setting", "prior", "why"),
    [
        (
            "seed",
            "{uniform: [1, 9]}",
            "expected a setting of the algorithm, such as algorithm.learning_rate, got 'seed'",
        ),
        ("game", "{choice: [a, b]}", "expected a setting of the algorithm"),
        ("algorithm.name", "{choice: [ippo, mappo]}", "expected a setting of the algorithm"),
        ("algorithm", "{choice: [ippo, mappo]}", "expected a setting of the algorithm"),
        ("algorithm.lr", "{log: [1e-4, 1e-3]}", "unknown key 'lr' in the section 'algorithm' of ippo"),
        ("algorithm.gamma", "{uniform: [0.9, 1.5]}", "expected a number of at most 1, got 1.5"),
        ("algorithm.epochs", "{uniform: [1.5, 3]}", "expected a whole number, got 1.5"),
        ("algorithm.epochs", "{choice: [1, few]}", "expected a whole number, got 'few'"),
        ("algorithm.learning_rate", "{log: [0, 1]}", "expected values above 0 for their logarithms, got 0"),
        ("algorithm.learning_rate", "{log: [1, 0.1]}", "expected the lower end of the range first, got [1.0, 0.1]"),
        ("algorithm.learning_rate", "{uniform: [1, 1]}", "expected the lower end of the range first"),
        ("algorithm.learning_rate", "{log: [1]}", "expected 2 or more entries, got 1"),
        ("algorithm.learning_rate", "{log: [1, 2, 3]}", "expected 2 or fewer entries, got 3"),
        ("algorithm.learning_rate", "[1e-4, 1e-3]", "expected keys and values, got [0.0001, 0.001]"),
        ("algorithm.learning_rate", "{}", "expected one of log, uniform and choice, got none"),
        (
            "algorithm.learning_rate",
            "{log: [1, 2], choice: [1, 2]}",
            "expected one of log, uniform and choice, got choice",
        ),
        ("algorithm.learning_rate", "{normal: [1, 2]}", "unknown key"),
        ("algorithm.epochs", "{choice: [1]}", "expected two or more different values to choose from, got [1]"),
        ("algorithm.epochs", "{choice: [1, 2, 1]}", "expected two or more different values"),
    ],
)
def test_priors_that_do_not_fit_are_refused(checked, setting, prior, why):
    assert why in refusal(checked, PbtConfig, PBT, vary(setting, prior))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("size=3", "--set size: pbt needs at least 5 members to copy from the best fifth, got 3"),
        ("ready=1e9", "--set ready: expected ready to be at most 500000"),
        ("vary={}", "expected 1 or more entries, got 0"),
        ("seeds=9", "expected a number of at least 10, got 9"),
        ("anchors=[self, random]", "is zero-sum, so self-play pays all members alike; take 'self' out"),
        ("anchors=[nobody]", "--set anchors: expected one of random"),
        ("set={opponents: {agents: [random]}}", "anchors are never trained against: 'random' is in 'opponents' too"),
        ("set={stepz: 3}", "unknown key 'stepz'"),
        ("train=nothing", "--set train: expected a config file, got 'nothing'"),
        ("members=8", "unknown key 'members'"),
    ],
)
def test_a_pbt_that_does_not_fit_is_refused(checked, change, why):
    assert why in refusal(checked, PbtConfig, PBT, change)


def test_members_start_where_they_are_told(checked):
    _, drawn = checked(PbtConfig, PBT)
    rates = [start["algorithm.learning_rate"] for start in drawn.starts]
    assert len(set(rates)) == 8 and all(1e-4 <= rate <= 3e-3 for rate in rates)
    _, alike = checked(PbtConfig, PBT, "start=train", "set={algorithm.learning_rate: 1e-4}")
    assert list(alike.starts) == [{"algorithm.learning_rate": 1e-4}] * 8
    assert "expected the value of the training config, 0.01, among those that 'algorithm.learning_rate' may" in refusal(
        checked, PbtConfig, PBT, "start=train", "set={algorithm.learning_rate: 0.01}"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("train=ippo_tic_tac_toe", "partners needs a game in which both players can gain"),
        ("set.game=spread", "partners needs a game of two players"),
        ("set.stretch=200000", "a pool has the checkpoints of partners half-way"),
        ("set.opponents={agents: [random]}", "partners are trained by self-play"),
        ("held_out=1", "expected a number of at least 2, got 1"),
    ],
)
def test_partners_that_do_not_fit_are_refused(checked, change, why):
    kept = "set={stretch: 10000}" if change.startswith("train") else change
    assert why in refusal(checked, PartnersConfig, PARTNERS, kept, change)
