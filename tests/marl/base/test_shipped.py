"""Shipped configs: found by name where no file is in their place, and hinted at where a name is misspelt."""

from pathlib import Path

import pytest

from games.errors import UserError
from marl.base import shipped
from marl.base.schema import load
from marl.training.config import PopulationConfig, TrainConfig
from tournaments.populations.config import schema_of
from tournaments.tournament import TournamentConfig

SCHEMAS = {schema.kind: schema for schema in (TrainConfig, PopulationConfig, TournamentConfig)}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_there_are_configs_of_every_kind():
    assert {config.kind for config in shipped.configs()} == set(shipped.KINDS) == set(SCHEMAS)


@pytest.mark.parametrize("config", shipped.configs(), ids=lambda config: f"{config.kind}/{config.name}")
def test_each_is_found_by_its_name_and_says_what_it_is(config):
    schema = schema_of(config.path, ()) if config.kind == "population" else SCHEMAS[config.kind]
    assert load(schema, Path(config.name)) == load(schema, config.path)
    assert config.about


def test_a_file_comes_first_and_a_folder_does_not(tmp_path):
    Path("ippo_leduc").mkdir()
    assert shipped.find(Path("ippo_leduc"), "train") == shipped.FOLDER / "train" / "ippo_leduc.yaml"
    Path("ippo_pig").write_text("")
    Path("ippo_tic_tac_toe").write_text("game: matrix\nalgorithm: ippo\n")
    assert load(TrainConfig, Path("ippo_tic_tac_toe")).game == "matrix"
    assert load(TrainConfig, Path("./ippo_tic_tac_toe")).game == "matrix"


@pytest.mark.parametrize("path", ["x/ippo_leduc", "ippo_leduc.yaml", "../ippo_leduc", "/ippo_leduc"])
def test_a_path_is_no_name(path):
    assert shipped.find(Path(path), "train") == Path(path)
    with pytest.raises(UserError, match="which does not exist; did you mean 'ippo_leduc'"):
        load(TrainConfig, Path(path))


@pytest.mark.parametrize(
    ("schema", "name", "hint"),
    [
        (TrainConfig, "ippo_tictactoe", "did you mean 'ippo_tic_tac_toe'"),
        (TournamentConfig, "conect_four", "did you mean 'connect_four'"),
        (TrainConfig, "quickstart", "of that name is of a population: `marl population quickstart`"),
        (PopulationConfig, "leduc", "of that name is of a tournament: `marl tournament run leduc`"),
        (TrainConfig, "connect_four", "`marl tournament run connect_four`; did you mean 'ippo_connect_four'?"),
        (TournamentConfig, "ippo_tic_tac_toe", "of that name is of a training run: `marl train ippo_tic_tac_toe`"),
        (TrainConfig, "nothing_like_it", "`marl configs` lists those that are shipped"),
        (TrainConfig, "x" * 5000, "the config file 'xxx"),
    ],
)
def test_a_name_that_is_none_gets_a_hint(schema, name, hint):
    with pytest.raises(UserError) as refused:
        load(schema, Path(name))
    assert hint in str(refused.value)


def test_a_file_beside_it_is_meant_before_a_shipped_one():
    Path("ippo_leduk.yaml").write_text("game: matrix\nalgorithm: ippo\n")
    with pytest.raises(UserError, match=r"did you mean 'ippo_leduk\.yaml'"):
        load(TrainConfig, Path("ippo_leduk"))


@pytest.mark.parametrize("config", shipped.configs(), ids=lambda config: config.name)
def test_what_a_config_is_about_is_a_whole_sentence(config):
    assert config.about.endswith(".")


@pytest.mark.parametrize("config", shipped.configs(), ids=lambda config: f"{config.kind}/{config.name}")
def test_each_has_the_key_of_its_kind_and_is_refused_where_another_is_expected(config):
    for kind, schema in SCHEMAS.items():
        if kind != config.kind:
            with pytest.raises(UserError, match=f"which is that of {shipped.KINDS[config.kind].of}; type `marl ") as no:
                load(schema, config.path)
            assert f"`marl {shipped.command(config.kind)} {config.path}`" in str(no.value)
