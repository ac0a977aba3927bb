"""A run's generator as a set of samples."""

import pytest
import torch

from equipoise.errors import RecordError
from equipoise.evaluation import evaluate
from equipoise.evaluation.generated import Generated, is_run
from equipoise.recipe import load
from equipoise.trial import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    train(load("digits").edit({"kimg": 2.0, "evaluation.every_kimg": 2.0}), folder)
    return folder


def test_a_run_is_measured_against_the_data_it_learned_from(run):
    found = evaluate(run, features="digits_cnn", fakes=200, metrics=["frechet", "prdc"])
    assert found.measures["frechet_digits_cnn"].convention["n_fake"] == 200
    assert found.measures["frechet_digits_cnn"].convention["n_real"] == 1797
    assert found.measures["frechet_digits_cnn"].value > 10, "it has hardly trained"


def test_a_checkpoint_gives_what_its_run_gives(run):
    (file,) = (run / "checkpoints").glob("*.safetensors")
    assert is_run(file)
    samples = [Generated(path, 70, 3) for path in (run, file)]
    first, second = (torch.cat([b.values for b in s.batches(32)]) for s in samples)
    assert torch.equal(first, second)
    assert first.dtype == torch.uint8
    assert samples[0].content_hash() == samples[1].content_hash()
    assert samples[0].content_hash() != Generated(run, 70, 4).content_hash()


def test_batches_and_where_they_start_change_nothing(run):
    samples = Generated(run, 50, 0)
    whole = torch.cat([b.values for b in samples.batches(50)])
    late = torch.cat([b.values for b in samples.batches(7, start=20)])
    assert (late.int() - whole[20:].int()).abs().max() <= 1


def test_points_come_as_rows(tmp_path):
    train(load("ring").edit({"kimg": 2.0, "evaluation.every_kimg": 2.0}), tmp_path / "ring")
    found = evaluate(tmp_path / "ring", fakes=300, metrics=["frechet"])
    assert found.measures["frechet_given"].convention["n_fake"] == 300


def test_a_run_without_a_checkpoint_is_refused(run, tmp_path):
    (tmp_path / "recipe.yaml").write_text((run / "recipe.yaml").read_text())
    with pytest.raises(RecordError, match="holds no checkpoint"):
        evaluate(tmp_path)
