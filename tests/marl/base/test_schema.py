"""Schemas: what a record, a file that a run wrote, means where it lacks a key."""

from typing import Annotated

import pytest
from pydantic import Field, model_validator

from games.errors import UserError
from marl.algorithms.co_training import VersusConfig
from marl.base.origin import NOWHERE
from marl.base.schema import Frozen, InOldRecords, Section, completed, distinct, validate


class Inner(Frozen):
    rate: float = 0.5
    trace: Annotated[float, InOldRecords(0.0)] = Field(0.6, ge=0, le=1)


class Outer(Frozen):
    scale: Annotated[bool | str, InOldRecords(True)] = "deviation"
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> "Outer":
        if self.scale is True and self.inner.trace:
            raise ValueError("old scales have no trace")
        return self


DATA = {"inner": {"rate": 1}, "parts": [{"trace": 1}, {}]}


def test_a_record_without_a_key_means_what_its_run_did():
    """Whatever section it is in; a key that is there says it itself. A schema's own checks see the old values."""
    old = validate(Outer, DATA, NOWHERE, record=True)
    assert (old.scale, old.inner) == (True, Inner(rate=1.0, trace=0.0))
    assert [part.trace for part in old.parts] == [1.0, 0.0]
    with pytest.raises(UserError, match="old scales have no trace"):
        validate(Outer, {"inner": {"trace": 0.5}}, NOWHERE, record=True)


def test_a_users_file_without_a_key_means_the_default():
    new = validate(Outer, DATA, NOWHERE)
    assert (new.scale, new.inner.trace) == ("deviation", 0.6)
    assert Outer() == Outer.model_validate({}) == validate(Outer, {}, NOWHERE)


def test_learners_of_versus_are_records_too():
    data = {"learners": [{"name": "loqa"}, "naive"]}
    assert [validate(VersusConfig, data, NOWHERE, record=old).learners[0]["literal"] for old in (True, False)] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "data, record, whole",
    [
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 1, "b": 3}),
        ({"a": {"c": None}}, {"a": {"c": 1, "d": 2}}, {"a": {"c": None, "d": 2}}),
        ({"a": {"name": "x"}}, {"a": {"name": "y", "d": 2}}, {"a": {"name": "x"}}),
        ({"a": "y"}, {"a": {"name": "y", "d": 2}}, {"a": {"name": "y", "d": 2}}),
        ({"a": "x"}, {"a": {"name": "y", "d": 2}}, {"a": "x"}),
        ({"a": [{"b": 1}, "y"]}, {"a": [{"c": 2}, {"name": "y"}]}, {"a": [{"b": 1, "c": 2}, {"name": "y"}]}),
        ({"a": [1]}, {"a": [2, 3]}, {"a": [1]}),
    ],
)
def test_what_is_left_open_is_the_records(data, record, whole):
    assert completed(data, record) == whole


class Learned(Frozen):
    rate: float = 0.5
    sizes: tuple[int, ...] = (8,)
    learners: tuple[Section, ...] = ()


class Whole(Frozen):
    name: str
    algorithm: Section
    inner: Inner = Inner()
    past: Inner | None = None
    parts: tuple[Inner, ...] = ()
    free: dict[str, int] = {}


@pytest.mark.parametrize(
    ("data", "short"),
    [
        ({"name": "a"}, {"name": "a"}),
        ({"name": "a", "inner": {"rate": 0.5, "trace": 0.6}, "past": None, "parts": [], "free": {}}, {"name": "a"}),
        ({"inner": {"rate": 0.5, "trace": 1.0}}, {"inner": {"trace": 1.0}}),
        ({"past": {"rate": 0.5, "trace": 0.6}}, {"past": {}}),  # which is not as none
        ({"parts": [{"rate": 0.5}, {"rate": 2, "trace": 0.6}]}, {"parts": [{}, {"rate": 2}]}),
        ({"parts": [["digest", [0.5]]]}, {"parts": [["digest", [0.5]]]}),
        ({"free": {"rate": 0}, "unknown": 1}, {"free": {"rate": 0}, "unknown": 1}),
        ({"algorithm": {"name": "x", "rate": 0.5, "sizes": [8]}}, {"algorithm": {"name": "x"}}),
        (
            {"algorithm": {"name": "x", "learners": [{"name": "y", "sizes": [8], "rate": 1}, {"name": "z"}]}},
            {"algorithm": {"name": "x", "learners": [{"name": "y", "rate": 1}, {"name": "z"}]}},
        ),
    ],
)
def test_what_is_at_its_default_makes_nothing_distinct(data, short):
    assert distinct(data, Whole, lambda name: Learned) == short


def test_a_key_that_a_schema_gets_later_changes_nothing():
    class Later(Inner):
        added: int = 3

    data = {"rate": 0.7, "trace": 0.6}
    assert distinct(data | {"added": 3}, Later, lambda name: Later) == distinct(data, Inner, lambda name: Inner)
    assert distinct(data | {"added": 4}, Later, lambda name: Later) != distinct(data, Inner, lambda name: Inner)
