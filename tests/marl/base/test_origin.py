"""A message names what is to be mended: the change that was typed, or else the file and its line."""

import pytest
from pydantic import Field, field_validator, model_validator

from games.errors import GameFailed, UserError
from marl.base.origin import NOWHERE, Origin, by_key, typed
from marl.base.schema import Frozen, WholeConfig, load, validate
from marl.learning.registry import configured
from marl.training.config import TrainConfig

FILE = """
game: spread
algorithm: {name: ippo,
  gamma: 0.5}
sizes: [1, 2,
  3]
inner:
  share: 0.5
  least: 3
  most: 5
"""


class Inner(Frozen):
    """A section whose values must agree."""

    share: float = Field(default=0.5, le=1)
    least: int = 0
    most: int = 9
    also: int

    @model_validator(mode="after")
    def _agree(self):
        if self.least > self.most:
            raise ValueError(f"expected least <= most, got {self.least} and {self.most}")
        return self


class Small(WholeConfig):
    """A config with a section, a list and a validator that raises in words of this project's own."""

    game: str = "x"
    algorithm: dict[str, object] = Field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    inner: Inner | None = None

    @field_validator("game")
    @classmethod
    def _known(cls, game):
        if game == "gone":
            raise UserError("no such game")
        return game


def refused(tmp_path, text, *sets):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(Small, path, typed(sets))
    return str(error.value).replace(str(path), "x.yaml")


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ((), "the key 'inner.also' is missing in 'x.yaml', line 7; add it"),
        (("inner.alos=1",), "unknown key 'inner.alos' in --set inner.alos; did you mean 'also'?"),
        (("inner.also=1", "sizes=[1, a]"), "'sizes.1' in --set sizes: expected a whole number, got 'a'"),
        (("inner.also=x",), "--set inner.also: expected a whole number, got 'x'"),
        (("inner={also: 1, share: 2}",), "'inner.share' in --set inner: expected a number of at most 1, got 2"),
        (("inner={also: 1}", "inner.share=2"), "--set inner.share: expected a number of at most 1, got 2"),
        (("inner.also=1", "innr.share=2"), "unknown key 'innr' in --set innr.share; did you mean 'inner'?"),
        (("inner.also=1", "sizs=2"), "unknown key 'sizs' in --set sizs; did you mean 'sizes'?"),
        (
            ("inner.also=1", "inner.least=8", "game=y"),
            "'inner' in 'x.yaml', line 7 with --set inner.also, --set inner.least: expected least <= most, got 8 and 5",
        ),
        (("inner.also=1e99",), "--set inner.also: the number 1e+99 is too large; name a smaller one"),
        (("game.name=2",), "--set game.name reaches 'name' inside 'spread', which has no keys"),
        (("inner=null", "game=gone"), "'x.yaml' with --set inner, --set game: no such game"),
    ],
)
def test_a_fault_is_put_down_to_what_was_typed_or_to_the_file(tmp_path, sets, said):
    assert refused(tmp_path, FILE, *sets) == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  3]", "  x]", "'sizes.2' in 'x.yaml', line 6: expected a whole number, got 'x'"),
        ("  share: 0.5", "  share: 2", "'inner.share' in 'x.yaml', line 8: expected a number of at most 1, got 2"),
        ("sizes", "sizs", "unknown key 'sizs' in 'x.yaml', line 5; did you mean 'sizes'?"),
        ("sizes: [1", "sizes: [1e99", "'sizes.0' in 'x.yaml', line 5: the number 1e+99 is too large"),
    ],
)
def test_a_fault_of_the_file_names_its_line_whatever_else_was_typed(tmp_path, old, new, said):
    assert refused(tmp_path, FILE.replace(old, new), "inner.also=1", "game=y").startswith(said)


def test_what_a_config_names_is_put_down_to_where_it_is_named(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("game: spread\nalgorithm:\n  name: boom:X\n  gama: 3\n")

    def refusal(*sets):
        config = load(TrainConfig, path, typed(sets))
        with pytest.raises(UserError) as error:
            configured(config.algorithm, "algorithm", typed=True, origin=config.origin)
        return str(error.value).replace(str(path), "x.yaml")

    assert refusal().startswith("'algorithm.name' in 'x.yaml', line 3: expected an importable module, got 'boom'")
    assert refusal("algorithm.name=bom:X").startswith("--set algorithm.name: expected an importable module, got 'bom'")
    assert refusal("algorithm.name=ippo").startswith(
        "unknown key 'gama' in the section 'algorithm' of ippo ('x.yaml', line 4); did you mean 'gamma'?"
    )
    assert refusal("algorithm={name: ippo, gama: 3}").startswith(
        "unknown key 'gama' in the section 'algorithm' of ippo (--set algorithm)"
    )
    assert refusal("algorithm={}").startswith("the key 'name' is missing in 'algorithm' (--set algorithm)")


def test_a_default_and_a_run_that_fails_are_put_down_to_nothing():
    origin = Origin("'x.yaml'", {"game": "g"})
    for blamed in (origin.blame(("panel",)), NOWHERE.blame(("game",))):
        with pytest.raises(UserError, match=r"^no$"), blamed:
            raise UserError("no")
    with pytest.raises(GameFailed), origin.blame(("game",)):
        raise GameFailed("g", 0, 1, 2, "fails")


def test_configs_of_other_origins_are_equal():
    values = {"game": "spread", "algorithm": {"name": "ippo"}}
    one, other = (validate(TrainConfig, values, Origin(name)) for name in ("one", "other"))
    one._origin = Origin("elsewhere")
    assert one == other and one.model_copy(update={"seed": 1}).origin is one.origin
    assert "origin" not in str(one.model_dump())


def test_changes_by_key_are_plain_data():
    [change] = by_key({"a.b": (1, 2)}, "the argument '{}'")
    assert (change.path, change.value, change.name) == (("a", "b"), [1, 2], "the argument 'a.b'")
    with pytest.raises(UserError, match="expected numbers, words, lists and keys"):
        by_key({"a": object()}, "{}")
