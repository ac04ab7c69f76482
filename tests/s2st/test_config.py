from dataclasses import dataclass, field
from typing import Literal

import pytest

from s2st.config import UserError, build, load_recipe, to_mapping


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    kind: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = ()
    nested: tuple[tuple[int, int], ...] = ()
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("count=13 and name contradict")


def test_build_reverses_to_mapping():
    config = Outer("x", 4, "b", (1, 2), ((1, 2), (3, 4)), Inner(0.25), Inner(1.0))
    assert build(Outer, to_mapping(config), "section") == config


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"name": "x", "cuont": 1}, "section: unknown setting 'cuont'; did you mean 'count'?"),
        ({}, "section: the setting 'name' is missing"),
        ({"name": "x", "count": "many"}, "section.count must be int, found 'many'"),
        ({"name": "x", "count": True}, "section.count must be int"),
        ({"name": "x", "kind": "c"}, "section.kind: 'c' is not one of a, b"),
        ({"name": "x", "sizes": 3}, "section.sizes must be a list"),
        ({"name": "x", "inner": {"rat": 1}}, "section.inner: unknown setting 'rat'; did you mean 'rate'?"),
        ({"name": "x", "count": 13}, "section: count=13 and name contradict"),
    ],
)
def test_mistakes_are_named(mapping, message):
    with pytest.raises(UserError, match="^" + message.replace("?", r"\?")):
        build(Outer, mapping, "section")


def test_numbers_as_yaml_reads_them():
    assert build(Inner, {"rate": "1e-3"}, "section").rate == 1e-3
    assert build(Outer, {"name": "x", "count": 4.0, "inner": {"rate": 1}}, "section").count == 4


def test_overrides(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("run: a\nunits:\n  stage: s\n  deep: {x: 1}\n")
    recipe = load_recipe(path, ["run=b", "units.deep.x=[1, 2]", "units.deep.new.y=true"])
    assert recipe == {"run": "b", "units": {"stage": "s", "deep": {"x": [1, 2], "new": {"y": True}}}}


def test_an_override_changes_one_of_the_sections_that_share_an_anchor(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("a: {loop: &loop {steps: 1}}\nb: {loop: *loop}\n")
    recipe = load_recipe(path, ["a.loop.steps=2"])
    assert recipe == {"a": {"loop": {"steps": 2}}, "b": {"loop": {"steps": 1}}}


@pytest.mark.parametrize("override", ["unit.x=1", "units.x", "units.x=["])
def test_wrong_overrides_are_refused(tmp_path, override):
    path = tmp_path / "recipe.yaml"
    path.write_text("units: {stage: s}\n")
    with pytest.raises(UserError, match="unit"):
        load_recipe(path, [override])


def test_recipe_that_is_not_there_or_no_yaml(tmp_path):
    with pytest.raises(UserError, match="cannot read recipe"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not valid YAML"):
        load_recipe(tmp_path / "bad.yaml")
