"""Checkpoints: whole or absent, checked bit by bit, and never executed."""

import json
import random
import shutil

import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from training_scenario import checkpoints, halt, same, small, weights

from equipoise.errors import RecordError
from equipoise.recipe import dump
from equipoise.training import Progress, build, load, load_generator, restore, resume, start
from equipoise.training import save as save_checkpoint

RECIPE = small()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("checkpoints") / "run"
    start(RECIPE, run_dir)
    return run_dir


@pytest.fixture
def run_dir(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="module")
def game():
    return build(RECIPE)


def header_length(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def refused(path, game, pattern):
    """`path` is refused with its name, in one line, and `game` is left as it was."""
    before = {k: v.clone() for k, v in game.generator.state_dict().items()}
    with pytest.raises(RecordError, match=pattern) as caught:
        load(path, game)
    assert str(path) in str(caught.value)
    assert same(before, game.generator.state_dict())


def rewritten(path, **texts):
    """The checkpoint with other metadata and no digest that fits, as a later version's might be."""
    data = path.read_bytes()
    meta = json.loads(data[8 : header_length(data)])["__metadata__"]
    path.write_bytes(save(load_tensors(path.read_bytes()), metadata={**meta, **texts}))


@pytest.mark.parametrize("region", ["length", "header", "tensors"])
def test_every_flipped_bit_is_seen(region, run_dir, game):
    path = checkpoints(run_dir)[-1]
    whole = path.read_bytes()
    border = header_length(whole)
    places = {"length": range(8), "header": range(8, border), "tensors": range(border, len(whole))}
    rng = random.Random(region)
    chosen = [*places[region]] if region == "length" else rng.sample(places[region], 150)
    for place in chosen:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        refused(path, game, "is damaged|if it is damaged")
    path.write_bytes(whole)
    assert load(path, game).step == 24


def test_every_truncation_is_seen(run_dir, game):
    path = checkpoints(run_dir)[-1]
    whole = path.read_bytes()
    border = header_length(whole)
    for length in (0, 1, 7, 8, 9, border - 1, border, border + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, game, "is damaged")
    path.write_bytes(whole + b"\0")
    refused(path, game, "is damaged")


def test_numbers_of_the_progress_are_checked_too(run_dir, game):
    path = checkpoints(run_dir)[-1]
    rewritten(path, progress=json.dumps({"step": 1, "images": 16, "seconds": 0.0}))
    refused(path, game, "digest does not match")


def test_a_tensor_under_anothers_name_is_seen(run_dir, game):
    path = checkpoints(run_dir)[-1]
    data = path.read_bytes()
    meta = json.loads(data[8 : header_length(data)])["__metadata__"]
    tensors = load_tensors(path.read_bytes())
    first, second = "average/layers.0.weight", "generator/layers.0.weight"
    tensors[first], tensors[second] = tensors[second], tensors[first]
    path.write_bytes(save(tensors, metadata=meta))
    refused(path, game, "digest does not match")


def test_a_later_schema_asks_for_an_upgrade(run_dir, game):
    path = checkpoints(run_dir)[-1]
    rewritten(path, schema="2")
    refused(path, game, "schema 2, this version reads up to 1; upgrade")


def test_another_programs_tensors_are_refused(run_dir, game):
    path = checkpoints(run_dir)[-1]
    path.write_bytes(save({"weight": torch.zeros(2)}))
    refused(path, game, "is damaged")


@pytest.mark.parametrize("edit", [{"batch": 8}, {"seed": 1}, {"generator__width": 9}])
def test_another_recipe_is_refused(edit, run_dir):
    path = checkpoints(run_dir)[-1]
    refused(path, build(small(**edit)), r"belongs to recipe \w{16} with seed 0, not to")


def test_a_recipe_changed_by_hand_is_not_resumed(run_dir):
    (run_dir / "recipe.yaml").write_text(dump(small(optimizer__generator__lr=0.5)))
    with pytest.raises(RecordError, match=r"no checkpoint can be read: .*belongs to recipe"):
        resume(run_dir)


def test_networks_that_the_tensors_do_not_fit_are_refused(run_dir):
    other = build(small(generator__width=9))
    with pytest.raises(RecordError, match=r"does not fit the networks .* need a new run"):
        load(checkpoints(run_dir)[-1], other, recipe=RECIPE)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_the_older_checkpoint_serves_when_the_newest_is_damaged(damage, run_dir, game):
    end = weights(run_dir)
    old, new = checkpoints(run_dir)
    data = bytearray(new.read_bytes())
    data[-40] ^= 1
    new.write_bytes({"truncated": data[:-9], "flipped": data, "empty": b""}[damage])
    assert restore(run_dir, game).step == 20
    resume(run_dir)
    assert checkpoints(run_dir) == [old, new]
    assert same(end, weights(run_dir))


def test_all_damaged_is_one_line_that_names_each(run_dir, game):
    for path in checkpoints(run_dir):
        path.write_bytes(b"")
    with pytest.raises(RecordError) as caught:
        resume(run_dir)
    assert all(str(path) in str(caught.value) for path in checkpoints(run_dir))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keep", "steps"), [(1, [24]), (3, [15, 20, 24]), (9, [5, 10, 15, 20, 24])]
)
def test_the_newest_are_kept(keep, steps, tmp_path):
    start(small(checkpoint__keep=keep), tmp_path / "run")
    assert [int(path.stem[5:]) for path in checkpoints(tmp_path / "run")] == steps


def test_what_was_just_written_is_never_dropped_for_a_damaged_later_file(run_dir, game):
    progress = restore(run_dir, game)
    progress.step = 21
    save_checkpoint(run_dir, game, progress, keep=1)
    assert [path.stem for path in checkpoints(run_dir)] == ["step-00000021"]


def test_no_file_of_a_run_is_a_pickle_or_an_archive(finished):
    pickles = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
    for path in finished.rglob("*"):
        if path.is_file():
            assert not path.read_bytes().startswith(pickles), path
    data = checkpoints(finished)[-1].read_bytes()
    assert json.loads(data[8 : header_length(data)])["__metadata__"]["schema"] == "1"


def test_optimizer_settings_are_the_recipes_and_its_moments_the_files(run_dir):
    edited = build(RECIPE.edit({"optimizer.generator.beta1": 0.5}))
    load(checkpoints(run_dir)[-1], edited, recipe=RECIPE)
    optimizer = edited.optimizers["generator"]
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.99)
    saved = weights(run_dir)["optimizer/generator/0/exp_avg_sq"]
    first = optimizer.param_groups[0]["params"][0]
    assert torch.equal(optimizer.state[first]["exp_avg_sq"], saved)


def test_a_rollbacks_checkpoint_is_good_under_both_recipes(tmp_path, game):
    edited = RECIPE.edit({"optimizer.generator.lr": 0.5})
    path = save_checkpoint(tmp_path, build(edited), Progress(3, 48, 1.5), 2, former=RECIPE)
    assert load(path, game) == load(path, build(edited)) == Progress(3, 48, 1.5)


def test_the_averaged_generator_loads_alone(run_dir):
    generator = build(RECIPE).generator
    path = checkpoints(run_dir)[-1]
    load_generator(path, generator)
    assert torch.equal(
        generator.state_dict()["layers.0.weight"], weights(run_dir)["average/layers.0.weight"]
    )
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordError, match="is damaged"):
        load_generator(path, generator)


def test_a_state_that_is_not_finite_is_saved_and_restored(tmp_path):
    start(small(optimizer__discriminator__lr=1e30), tmp_path / "run", (halt(12),))
    saved = weights(tmp_path / "run")
    assert not all(torch.isfinite(value).all() for value in saved.values())
    start(small(optimizer__discriminator__lr=1e30), tmp_path / "whole")
    resume(tmp_path / "run")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))
