"""The Lightning callback: what it attaches, what it reads, and how it ends."""

import sys

import pytest
import torch
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset
from toy_loop import BATCH, Z, plain_players, ring

from equipoise.errors import MissingExtraError

pl = pytest.importorskip("pytorch_lightning")

from equipoise.monitor.adapters import lightning  # noqa: E402  # it needs Lightning

EquipoiseCallback = lightning.EquipoiseCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec"),  # Lightning's own
    pytest.mark.filterwarnings("ignore:.*num_workers"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]
DENSE = {"schedule": "fixed", "stride": 1, "tick": 1}


class Players(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = plain_players()


class Game(pl.LightningModule):
    """Manual optimization with the players one level down; `way` shows the batch to the monitor."""

    def __init__(self, way="returned", nan_at=None):
        super().__init__()
        self.automatic_optimization = False
        self.way, self.nan_at = way, nan_at
        self.players = Players()

    def configure_optimizers(self):
        both = self.players.generator, self.players.discriminator
        return [torch.optim.Adam(p.parameters(), lr=1e-3) for p in both]

    def training_step(self, batch, index):
        (real,) = batch
        generator, discriminator = self.players.generator, self.players.discriminator
        of_generator, of_discriminator = self.optimizers()
        fake = generator(torch.randn(len(real), Z)).detach()
        logits = {"real_logits": discriminator(real), "fake_logits": discriminator(fake)}
        loss_d = (softplus(-logits["real_logits"]) + softplus(logits["fake_logits"])).mean()
        if index + 1 == self.nan_at:
            loss_d = loss_d * float("nan")
        of_discriminator.zero_grad()
        self.manual_backward(loss_d)
        of_discriminator.step()
        loss_g = softplus(-discriminator(generator(torch.randn(len(real), Z)))).mean()
        of_generator.zero_grad()
        self.manual_backward(loss_g)
        of_generator.step()
        shown = {"real": real, "fake": fake, "losses": {"d": loss_d, "g": loss_g}, **logits}
        if self.way == "returned":
            return {**shown, "loss": loss_g, "unknown": 1.0}
        self.equipoise = {**shown, "beta": 0.5} if self.way == "left" else None
        return None


def fit(callback, game=None, batches=6, **options):
    torch.manual_seed(0)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        enable_model_summary=False,
        callbacks=[callback] if callback else [],
        **quiet | options,
    )
    game = game or Game()
    trainer.fit(game, DataLoader(TensorDataset(ring(BATCH * batches)), BATCH))
    return trainer, game


def watch(**options):
    return EquipoiseCallback("players.generator", "players.discriminator", **DENSE | options)


@pytest.mark.parametrize("way", ["returned", "left"])
def test_every_batch_is_observed_once_whatever_lightning_counts(way):
    callback = watch(audit=2)
    trainer, game = fit(callback, Game(way))
    trace = callback.monitor.trace()
    assert trainer.global_step == 12, "Lightning counts both players' steps"
    for name in ("loss/discriminator", "auc/discriminator", "update_ratio/generator"):
        assert trace.series(name).steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert trace.series("updates/generator").values.tolist() == [1, 2, 3, 4, 5, 6]
    assert trace.facts["audit"]["over"]
    assert trace.facts["audit"]["unseen"] == []
    assert callback.diagnose().findings == ()
    assert getattr(game, "equipoise", None) is None, "no batch is kept alive"
    assert ("beta" in trace) == (way == "left")
    assert "unknown" not in trace


def test_a_module_that_shows_nothing_still_has_its_updates_counted():
    callback = watch()
    fit(callback, Game("silent"))
    assert callback.monitor.trace().series("updates/discriminator").last == 6


def test_training_is_bitwise_the_same():
    weights = [
        torch.cat([p.flatten() for p in fit(callback)[1].parameters()])
        for callback in (None, watch(audit=2))
    ]
    assert torch.equal(*weights)


def test_hooks_are_gone_when_training_is_over():
    trainer, _ = fit(watch())
    assert all(not o._optimizer_step_pre_hooks for o in trainer.optimizers)


def test_stop_ends_training_by_lightnings_own_way(capsys):
    callback = watch(on_finding="stop")
    trainer, _ = fit(callback, Game(nan_at=3))
    assert trainer.should_stop
    assert trainer.global_step == 6, "two players, three batches"
    assert "step 3: non_finite" in capsys.readouterr().err


def test_the_count_goes_on_from_a_checkpoint():
    first = watch()
    fit(first)
    second = watch()
    second.load_state_dict(first.state_dict())
    fit(second, batches=2)
    assert second.monitor.trace().series("updates/generator").steps.tolist() == [7, 8]
    assert watch().state_dict() == {}


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda: EquipoiseCallback("players.genrator"), r"generator = 'players.genrator'.*did you"),
        (lambda: watch(discriminator_optimizer=2), "discriminator_optimizer = 2.*from 0 to 1"),
    ],
)
def test_what_is_not_there_is_refused_by_name(callback, message):
    with pytest.raises(ValueError, match=message):
        fit(callback())


def test_a_diagnosis_before_training_is_refused():
    with pytest.raises(ValueError, match=r"monitor = None: diagnose\(\) works from"):
        watch().diagnose()


def test_without_lightning_it_says_what_to_install(monkeypatch):
    known = ("lightning", "pytorch_lightning")
    for name in [n for n in sys.modules if n.partition(".")[0] in known]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'equipoise\[lightning\]'"):
        lightning._callback()
