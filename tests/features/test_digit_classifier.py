import importlib.util
from pathlib import Path

import pytest
import torch

from equipoise import errors
from equipoise.data.digits import digits, labels, split
from equipoise.features import digit_classifier, digit_features, digit_probabilities
from equipoise.features import digits as module

ROOT = Path(__file__).parents[2]


def test_the_committed_weights_reach_97_percent_on_digits_they_never_saw():
    _, held_out = split()
    right = digit_probabilities(digits()[held_out]).argmax(dim=1) == labels()[held_out]
    assert float(right.float().mean()) >= 0.97


def test_the_weights_are_small():
    assert (Path(module.__file__).parent / module.WEIGHTS).stat().st_size < 1_000_000


def test_features_are_standardized_over_the_training_digits():
    kept, _ = split()
    features = digit_features(digits()[kept])
    assert features.shape == (len(kept), 32)
    assert features.dtype == torch.float32
    assert features.mean(dim=0).abs().max() < 1e-3
    assert (features.std(dim=0) - 1).abs().max() < 1e-2


def test_no_feature_is_a_copy_of_the_others():
    covariance = torch.cov(digit_features(digits()).double().T)
    assert torch.linalg.eigvalsh(covariance).min() > 1e-3


def test_probabilities_sum_to_one():
    p = digit_probabilities(digits()[:20])
    assert p.shape == (20, 10)
    assert torch.allclose(p.sum(dim=1), torch.ones(20), atol=1e-5)


def test_the_classifier_is_one_per_process_and_frozen():
    classifier = digit_classifier()
    assert classifier is digit_classifier()
    assert not classifier.training
    assert not any(p.requires_grad for p in classifier.parameters())


def test_gradients_flow_through_the_module_to_the_images():
    images = digits()[:2].clone().requires_grad_()
    digit_classifier()(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert not digit_features(images).requires_grad


def test_chunks_do_not_matter(monkeypatch):
    whole = digit_features(digits()[:100])
    monkeypatch.setattr(module, "CHUNK", 7)
    assert torch.allclose(digit_features(digits()[:100]), whole, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 64), (2, 3, 8, 8), (2, 1, 16, 16), (1, 8, 8), (0, 1, 8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"the digit classifier reads \(N, 1, 8, 8\)"):
        digit_features(torch.zeros(shape))


def test_weights_that_were_changed_are_refused(monkeypatch):
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(errors.RecordError, match="reinstall equipoise"):
        module._weights()


def test_weights_that_are_absent_are_refused(monkeypatch):
    monkeypatch.setattr(module, "WEIGHTS", "weights/absent.safetensors")
    with pytest.raises(errors.RecordError, match=r"cannot read .*absent\.safetensors"):
        module._weights()


def test_the_training_script_learns_and_repeats_itself(monkeypatch):
    spec = importlib.util.spec_from_file_location(
        "train_digit_classifier", ROOT / "scripts" / "train_digit_classifier.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "EPOCHS", 3)
    kept, held_out = split()
    state = torch.get_rng_state()
    first, second = (script.trained(digits()[kept], labels()[kept]) for _ in range(2))
    torch.set_rng_state(state)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert script.measured(first, digits()[held_out], labels()[held_out]) > 0.9
