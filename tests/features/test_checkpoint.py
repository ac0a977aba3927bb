import pickle
import zipfile

import pytest
import torch
from torch import nn

from equipoise.errors import WeightsError
from equipoise.features.checkpoint import build, read_state


def make():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))


@pytest.fixture
def state():
    torch.manual_seed(0)
    return make().state_dict()


@pytest.mark.parametrize("form", ["zip", "legacy", "state_dict", "model", "safetensors"])
def test_every_form_is_read(tmp_path, state, form):
    path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pth")
    if form == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        held = {form: state, "epoch": 3} if form in ("state_dict", "model") else state
        torch.save(held, path, _use_new_zipfile_serialization=form != "legacy")
    found = read_state(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


class Harm:
    def __reduce__(self):
        return (print, ("harm done",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"a": Harm()}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="cannot read weights from"):
        read_state(tmp_path / "net.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(WeightsError, match="cannot read weights from"):
        read_state(tmp_path / "old.pth")
    assert "harm done" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("body", [b"", b"no weights at all", b"PK\x03\x04 half an archive"])
def test_what_is_no_weights_file_is_told(tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(WeightsError, match="cannot read weights from"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("held", [[1, 2], {"a": 1}, torch.zeros(2)])
def test_a_file_without_named_tensors_is_told(tmp_path, held):
    torch.save(held, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="not a state dict"):
        read_state(tmp_path / "net.pth")


def test_a_plain_zip_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(WeightsError, match="cannot read weights from"):
        read_state(tmp_path / "net.pth")


def test_a_module_is_built_frozen_in_float32_and_without_a_random_number(state):
    half = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    before = torch.get_rng_state()
    module = build(make, half, "it")
    assert torch.equal(torch.get_rng_state(), before)
    assert not module.training
    for name, value in module.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.allclose(value.float(), state[name].float(), atol=1e-3)
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in module.parameters())


def test_old_files_count_no_batches(state):
    del state["1.num_batches_tracked"]
    assert build(make, state, "it").state_dict()["1.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("0.bias"), r"0\.bias \(2,\) is missing \(1 of 7 tensors\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"extra \(1,\) is not known"),
        (lambda s: s.update({"0.bias": torch.zeros(3)}), r"0\.bias is \(3,\), not \(2,\)"),
        (lambda s: s.clear(), r"is missing; .* is missing; .*\(6 of 7 tensors\)"),
    ],
)
def test_what_does_not_fit_is_named(state, change, told):
    change(state)
    with pytest.raises(WeightsError, match=f"do not fit the net: .*{told}"):
        build(make, state, "the net")
