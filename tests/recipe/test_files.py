"""Recipes as files: presets, dumps, bases, and YAML that is not one."""

import pytest

from equipoise.errors import RecipeError
from equipoise.recipe import dump, load, parse, parse_settings, preset_names


def test_the_presets_are_there():
    assert set(preset_names()) >= {"digits", "digits-sick", "grid", "ring"}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_its_dump_is_the_same_recipe(name):
    recipe = load(name)
    assert recipe.name == name
    assert recipe.description
    assert parse(dump(recipe)) == recipe
    assert parse(dump(recipe)).content_hash() == recipe.content_hash()
    assert recipe.iterations > 100


@pytest.mark.parametrize("name", preset_names())
def test_a_dump_writes_every_value_out(name):
    text = dump(load(name))
    assert "base:" not in text
    assert all(key in text for key in ("weight_decay:", "half_life_kimg:", "sample_grid:"))


def test_a_file_and_a_run_directory_are_read(tmp_path):
    recipe = load("ring").edit({"description": "größer", "seed": 5})
    (tmp_path / "recipe.yaml").write_text(dump(recipe), encoding="utf-8")
    assert load(tmp_path) == load(str(tmp_path / "recipe.yaml")) == recipe


def test_a_base_gives_what_the_file_leaves_out(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "base: ring\nname: own\npenalties: {r1: {gamma: 3}}\noptimizer: {generator: {lr: 1}}"
    )
    ring, own = load("ring"), load(path)
    assert own.penalties["r1"].gamma == 3
    assert own.penalties["r1"].schedule == ring.penalties["r1"].schedule
    assert own.optimizer.generator.lr == 1
    assert own.optimizer.discriminator == ring.optimizer.discriminator
    nested = tmp_path / "nested.yaml"
    nested.write_text(f"base: {path}\nkimg: 1")
    assert (load(nested).kimg, load(nested).name) == (1, "own")


def test_bases_that_lead_back_are_refused(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"base: {two}")
    two.write_text(f"base: {one}")
    for path in (one, two):
        with pytest.raises(RecipeError, match="leads back to itself"):
            load(path)
    one.write_text(f"base: {one}")
    with pytest.raises(RecipeError, match="leads back to itself"):
        load(one)


@pytest.mark.parametrize("tag", ["object/apply:os.mkdir", "object/new:os.mkdir", "name:os.mkdir"])
def test_yaml_that_would_run_code_runs_none(tmp_path, tag):
    made = tmp_path / "made"
    for text in (f"!!python/{tag} [{made}]", f"base: ring\nname: !!python/{tag} [{made}]"):
        with pytest.raises(RecipeError, match="not YAML") as error:
            parse(text)
        assert "\n" not in str(error.value)
        with pytest.raises(RecipeError, match="not a YAML value"):
            parse_settings([f"name=!!python/{tag} [{made}]"])
    assert not made.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a mapping"),
        ("5", "must be a mapping"),
        ("- ring", "must be a mapping"),
        ("1: 2", "must be a mapping"),
        ("a: [", "not YAML"),
        ("a: b: c", "not YAML"),
        ("a: \x00", "not YAML"),
        ("base: rign", "did you mean 'ring'"),
        ("base: ring\nkimgg: 3", "did you mean 'kimg'"),
        ("base: ring\nkimg: 2020-01-01", "kimg"),
        ("base: ring\npenalties: 5", "penalties = 5"),
        ("a: &a [*a]", "missing"),
    ],
)
def test_what_is_no_recipe_is_said_in_one_line(text, words):
    with pytest.raises(RecipeError) as error:
        parse(text, "my.yaml")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_recipes(tmp_path):
    huge = tmp_path / "huge.yaml"
    huge.write_text("# x\n" * 300_000)
    with pytest.raises(RecipeError, match="larger than 1 MiB"):
        load(huge)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe\x80")
    with pytest.raises(RecipeError, match="cannot read"):
        load(binary)
    with pytest.raises(RecipeError, match="did you mean 'digits-sick'"):
        load("digits_sick")
    with pytest.raises(RecipeError, match="or the path of a YAML file"):
        load(tmp_path)


def test_settings_are_paths_and_yaml_values():
    settings = parse_settings(["kimg=50", " a.b = [1, x]", "c=", "d=x=y", "e='1'", "f=true"])
    assert settings == {"kimg": 50, "a.b": [1, "x"], "c": None, "d": "x=y", "e": "1", "f": True}
    for wrong in ("kimg", "=5", " =5", "a=[", "a=x: y: z"):
        with pytest.raises(RecipeError, match="--set"):
            parse_settings([wrong])


def test_yaml_nested_without_end_is_refused():
    with pytest.raises(RecipeError):
        parse("a: " + "[" * 5000)


def test_a_name_too_long_for_a_file_is_refused():
    with pytest.raises(RecipeError):
        load("x" * 5000)


def test_a_base_is_looked_for_beside_the_file_that_names_it(tmp_path):
    (tmp_path / "one.yaml").write_text("base: ring\nname: one")
    (tmp_path / "two.yaml").write_text("base: one.yaml\nname: two")
    assert load(tmp_path / "two.yaml").name == "two"
