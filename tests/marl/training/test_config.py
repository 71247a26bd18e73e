"""Configuration: strict, frozen, and one sentence for whatever does not fit."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from games.errors import UserError
from marl.base import yaml
from marl.base.origin import Origin, by_key, typed
from marl.base.schema import change, dump, load, validate
from marl.learning.registry import configured
from marl.training.config import PopulationConfig, TrainConfig
from tests.properties import examples
from tournaments.populations.config import load_population
from tournaments.populations.league.config import LeagueConfig
from tournaments.populations.psro.config import PsroConfig

ROOT = Path(__file__).parents[3]
LEAST = "game: openspiel:tic_tac_toe\nalgorithm: {name: ippo}\n"


def read(tmp_path, text=LEAST, sets=(), schema=TrainConfig):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load(schema, path, typed(sets))


def refused(tmp_path, *arguments, **options):
    with pytest.raises(UserError) as caught:
        read(tmp_path, *arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_the_schemas(tmp_path):
    assert read(tmp_path) == TrainConfig(game="openspiel:tic_tac_toe", algorithm={"name": "ippo"})


@pytest.mark.parametrize(
    "text, key, hint",
    [
        ("step: 5", "'step'", "did you mean 'steps'?"),
        ("opponents: {agent: [random]}", "'opponents.agent'", "did you mean 'agents'?"),
        ("evaluation: {sedes: 5}", "'evaluation.sedes'", "did you mean 'seeds'?"),
        ("xyzzy: 5", "'xyzzy'", "known keys: game, wrappers, algorithm, seed"),
    ],
)
def test_an_unknown_key_names_the_nearest(tmp_path, text, key, hint):
    said = refused(tmp_path, LEAST + text)
    assert said.startswith(f"unknown key {key} in ") and hint in said


def test_an_unknown_key_of_an_algorithm_names_the_nearest(tmp_path):
    config = read(tmp_path, sets=["algorithm.learning_rte=1e-4"])
    with pytest.raises(UserError, match=r"unknown key 'learning_rte' .*algorithm.* did you mean 'learning_rate'\?"):
        configured(config.algorithm, "algorithm")


def test_an_unknown_key_of_a_member_names_the_nearest(tmp_path):
    said = refused(tmp_path, "members: {a: {train: x.yaml, sett: {}}}", schema=PopulationConfig)
    assert "unknown key 'members.a.sett'" in said and "did you mean 'set'?" in said


@pytest.mark.parametrize("key", ["game", "algorithm"])
def test_a_missing_key_is_named(tmp_path, key):
    text = "\n".join(line for line in LEAST.splitlines() if not line.startswith(key))
    assert f"the key '{key}' is missing in" in refused(tmp_path, text)


@pytest.mark.parametrize(
    "section, said", [("{}", r"the key 'name' is missing in 'algorithm'"), ("{name: ipo}", "mean 'ippo'")]
)
def test_an_algorithm_that_is_not_there(tmp_path, section, said):
    with pytest.raises(UserError, match=said):
        configured(read(tmp_path, sets=[f"algorithm={section}"]).algorithm, "algorithm")


@pytest.mark.parametrize(
    "assignment, got",
    [
        ("steps=many", "^--set steps: .*got 'many'"),
        ("steps=0", "^--set steps: .*above 0, got 0"),
        ("steps=1.5", "^--set steps: .*got 1.5"),
        ("seed=-1", "^--set seed: .*got -1"),
        ("keep=0", "^--set keep: .*got 0"),
        ("game=3", "^--set game: .*got 3"),
        ("opponents.share=1.5", r"^--set opponents\.share: .*got 1\.5"),
        ("opponents.share=.nan", r"^--set opponents\.share: .*got nan"),
        ("opponents.agents=random", r"^--set opponents\.agents: .*got 'random'"),
        ("evaluation=5", "^--set evaluation: .*got 5"),
        ("algorithm=5", "^--set algorithm: .*got 5"),
        ("num_envs=2147483648", "^--set num_envs: .*below 2147483648"),
        ("env_workers=9223372036854775807", "^--set env_workers: .*below 2147483648"),
        ("threads=1025", "^--set threads: .*at most 1024"),
        ("steps=18446744073709551616", "the number 18446744073709551616 is too large"),
        ("opponents.share=1e39", r"the number 1e\+39 is too large"),
    ],
)
def test_a_value_that_does_not_fit_is_shown(tmp_path, assignment, got):
    with pytest.raises(UserError, match=got):
        read(tmp_path, sets=[assignment])


@settings(max_examples=examples(100))
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_it_was_written(number):
    assert yaml.read(repr(number)) == number


def test_set_reaches_any_depth(tmp_path):
    sets = ["steps=5", "opponents.share=0.25", "algorithm.hidden=[8, 8]", "steps=6", "keep=null", "algorithm.a.b=1e-4"]
    config = read(tmp_path, sets=sets)
    assert (config.steps, config.opponents.share, config.keep) == (6, 0.25, None)
    assert config.algorithm == {"name": "ippo", "hidden": [8, 8], "a": {"b": 1e-4}}


def test_set_does_not_change_what_it_was_given():
    data = {"a": {"b": 1}}
    assert change(data, typed(["a.b=2"])) == {"a": {"b": 2}} and data == {"a": {"b": 1}}


@pytest.mark.parametrize(
    "assignment, said",
    [
        ("steps", "expected --set a.b=c, got 'steps'"),
        ("=5", "expected --set a.b=c, got '=5'"),
        ("steps=[1", "the value of --set steps is not YAML"),
        ("seed=2020-13-45", "got '2020-13-45'"),
        ("game.name=x", "--set game.name reaches 'name' inside 'openspiel:tic_tac_toe'"),
    ],
)
def test_a_set_that_is_none(tmp_path, assignment, said):
    assert said in refused(tmp_path, sets=[assignment])


@pytest.mark.parametrize("text", ["game: [", "a: b: c", "game: @x", "\tgame: x"])
def test_broken_yaml(tmp_path, text):
    assert "is not YAML" in refused(tmp_path, text)


@pytest.mark.parametrize("text, said", [("", "nothing"), ("- 1", "[1]"), ("word", "'word'")])
def test_yaml_without_keys(tmp_path, text, said):
    assert refused(tmp_path, text).endswith(f"got {said}")


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "ippo_chess.yaml").write_text(LEAST)
    with pytest.raises(UserError, match=r"which does not exist; did you mean '.*ippo_chess\.yaml'\?"):
        load(TrainConfig, tmp_path / "ipo_chess.yaml")
    with pytest.raises(
        UserError, match="which does not exist; `marl configs` lists"
    ):  # that both are configs makes them no more alike
        load(TrainConfig, tmp_path / "ip.yaml")


def test_what_is_no_text_file(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "bytes.yaml", tmp_path / "pipe.yaml", Path("a\0b")):
        with pytest.raises(UserError, match="could not be read"):
            load(TrainConfig, path)


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(UserError, match=r"got the folder '.*'; name a file, or a shipped config"):
        load(TrainConfig, tmp_path)
    read(tmp_path)  # now it looks like a run's
    with pytest.raises(UserError, match=f"type {tmp_path}/config.yaml --run-dir {tmp_path} --resume"):
        load(TrainConfig, tmp_path)


@pytest.mark.parametrize("seed, read_as", [("008", 8), ("009", 9), ("010", 10), ("011", 11), ("0_1_0", 10)])
def test_seeds_with_leading_zeros_are_decimal(tmp_path, seed, read_as):
    assert read(tmp_path, sets=[f"seed={seed}"]).seed == read(tmp_path, LEAST + f"seed: {seed}").seed == read_as


@pytest.mark.parametrize(
    "text, got",
    [
        ("seed: yes", "got 'yes'"),
        ("seed: true", "got True"),
        ("steps: 1:30", "got '1:30'"),
        ("steps: '90'", "got '90'"),
        ("steps: 2026-01-02", "got '2026-01-02'"),
        ("opponents: {share: true}", "got True"),
        ("opponents: {share: '0.5'}", "got '0.5'"),
        ("opponents: {agents: {}}", "got {}"),
        ("keep: false", "got False"),
    ],
)
def test_types_are_strict(tmp_path, text, got):
    assert got in refused(tmp_path, LEAST + text)


@pytest.mark.parametrize("setting, value", [("anneal", "yes"), ("anneal", "1"), ("epochs", "true"), ("hidden", "'8'")])
def test_types_of_an_algorithms_settings_are_strict(tmp_path, setting, value):
    with pytest.raises(UserError, match=f"'{setting}.*' in the section 'algorithm' of ippo"):
        configured(read(tmp_path, sets=[f"algorithm.{setting}={value}"]).algorithm, "algorithm")


def test_a_number_without_a_fraction_is_whole(tmp_path):
    config = read(tmp_path, LEAST + "steps: 1e6\nopponents: {share: 1}")
    assert (config.steps, type(config.steps), config.opponents.share) == (1_000_000, int, 1.0)
    assert configured({"name": "ippo", "clip": 1.0, "learning_rate": 1e-4}, "algorithm")[2].clip == 1.0


def test_a_key_that_is_given_twice(tmp_path):
    assert "line 4: the key 'steps' is given twice" in refused(tmp_path, LEAST + "steps: 1000\nsteps: 2000")


def test_an_algorithms_name_alone_is_its_section(tmp_path):
    text = "game: spread\nalgorithm: ippo"
    assert read(tmp_path, text).algorithm == {"name": "ippo"}
    sets = ["algorithm.learning_rate=1e-4", "algorithm=lola", "algorithm.lookahead=2"]
    assert read(tmp_path, text, sets[:1]).algorithm == {"name": "ippo", "learning_rate": 1e-4}
    assert read(tmp_path, text, sets).algorithm == {"name": "lola", "lookahead": 2}
    versus = read(tmp_path, "game: matrix\nalgorithm: {name: versus, learners: [loqa, {name: naive}]}").algorithm
    assert [learner["name"] for learner in configured(versus, "algorithm")[2].learners] == ["loqa", "naive"]


@pytest.mark.parametrize(
    "text, hint",
    [
        ("lr: 1e-3", "in its section: algorithm: {name: ..., learning_rate: ...}"),
        ("learning_rate: 1e-3", "in its section: algorithm: {name: ..., learning_rate: ...}"),
        ("total_timesteps: 5", "did you mean 'steps'?"),
        ("n_envs: 5", "did you mean 'num_envs'?"),
    ],
)
def test_words_of_other_frameworks(tmp_path, text, hint):
    assert hint in refused(tmp_path, LEAST + text)


@pytest.mark.parametrize(
    "name, given, meant", [("ippo", "lr", "learning_rate"), ("iql", "batch_size", "batch_episodes")]
)
def test_words_of_other_frameworks_for_settings(name, given, meant):
    with pytest.raises(UserError, match=f"unknown key '{given}' .*did you mean '{meant}'"):
        configured({"name": name, given: 1}, "algorithm")


def test_a_wrong_guess_is_not_offered():
    with pytest.raises(UserError, match=r"got 'sarsa'; installed: aerial, .*, ippo, ") as caught:
        configured({"name": "sarsa"}, "algorithm")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("value", ["x" * 5000, [["y"] * 50] * 50, "\x1b[31m" * 100])
def test_what_does_not_fit_is_cut(value):
    with pytest.raises(UserError) as caught:
        validate(TrainConfig, {"game": "g", "algorithm": {}, "steps": value}, Origin("x"))
    assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


def test_a_config_that_is_nested_too_deep_or_that_no_json_says():
    deep = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, {1, 2}, b"x"):
        with pytest.raises(UserError, match="expected numbers, words, lists and keys in x"):
            validate(TrainConfig, {"game": "g", "algorithm": {"a": value}}, Origin("x"))


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_training_config_reads_back(path, tmp_path):
    config = load(TrainConfig, path)
    configured(config.algorithm, "algorithm")
    (tmp_path / "again.yaml").write_text(dump(config))
    assert load(TrainConfig, tmp_path / "again.yaml") == config


def test_a_config_is_frozen(tmp_path):
    config = read(tmp_path)
    with pytest.raises(ValidationError):
        config.steps = 5
    with pytest.raises(ValidationError):
        config.opponents.share = 1.0


def test_dump_says_every_value_and_is_read_back(tmp_path):
    config = read(tmp_path, sets=["algorithm.learning_rate=1e-5", "opponents.agents=[random, 'mcts(simulations=5)']"])
    again = read(tmp_path, dump(config))
    left_out = {"wrappers", "parent", "reward_terms"}  # the last two where they are not set
    assert again == config and set(yaml.read(dump(config))) == set(TrainConfig.model_fields) - left_out


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "population").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_population_config_fits(path):
    population = load_population(path, ())
    if isinstance(population, PopulationConfig):
        for member in population.members.values():
            configured(load(TrainConfig, Path(member.train), by_key(member.set, "{}")).algorithm, "algorithm")
    elif isinstance(population, PsroConfig):
        configured(population.learner, "learner")
    elif isinstance(population, LeagueConfig):
        for role in population.learners.values():
            configured(population.algorithm(role) or {}, "learner")
    else:
        population.checked()


def test_validate_names_the_place():
    with pytest.raises(UserError, match="unknown key 'b' in the section 'x'"):
        validate(TrainConfig, {"game": "g", "algorithm": {}, "b": 1}, Origin("the section 'x'"))


def test_wrappers_are_written_behind_the_game(tmp_path):
    """YAML parts a list at every comma, in brackets too: what belongs together is put together again."""
    text = LEAST + "wrappers: [resize_v1(x_size=84, y_size=84), agent_id, 'messy(phi=0.1, steps=2)']"
    config = read(tmp_path, text)
    assert config.game == "openspiel:tic_tac_toe | resize_v1(x_size=84, y_size=84) | agent_id | messy(phi=0.1, steps=2)"
    again = tmp_path / "again.yaml"
    again.write_text(dump(config))
    assert "wrappers" not in dump(config) and load(TrainConfig, again) == config
    assert read(tmp_path, LEAST, ["wrappers=[agent_id]"]).game == "openspiel:tic_tac_toe | agent_id"


def test_references_with_commas_stay_whole(tmp_path):
    sets = ["evaluation.panel=[random, mcts(simulations=20, exploration=1.5), self]"]
    assert read(tmp_path, LEAST, sets).evaluation.panel == ("random", "mcts(simulations=20, exploration=1.5)", "self")


def test_wrappers_that_are_no_list_are_refused(tmp_path):
    assert "'wrappers'" in refused(tmp_path, LEAST + "wrappers: agent_id")
    assert "'env_workers'" in refused(tmp_path, LEAST + "env_workers: -1")
