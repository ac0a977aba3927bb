"""A GAN in Lightning, by manual optimization: the lines marked `# equipoise` are all it takes.

python examples/lightning_gan.py
python examples/lightning_gan.py --bug    # the discriminator's optimizer is never stepped
"""

import argparse
import logging
import math
import warnings

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

from equipoise.monitor.adapters.lightning import EquipoiseCallback  # equipoise

BATCH, Z = 64, 8


def ring(count):
    angle = torch.randint(8, (count,)) * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(count, 2)


def network(inputs, outputs, width=64):
    hidden = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


class GAN(pl.LightningModule):
    def __init__(self, bug=False):
        super().__init__()
        self.automatic_optimization = False
        self.bug = bug
        self.generator, self.discriminator = network(Z, 2), network(2, 1)

    def configure_optimizers(self):
        players = (self.generator, self.discriminator)
        return [torch.optim.Adam(p.parameters(), lr=1e-3, betas=(0.0, 0.99)) for p in players]

    def training_step(self, batch, index):
        (real,) = batch
        optimizer_g, optimizer_d = self.optimizers()

        self.toggle_optimizer(optimizer_d)
        fake = self.generator(torch.randn(len(real), Z)).detach()
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        loss_d = (softplus(-real_logits) + softplus(fake_logits)).mean()
        optimizer_d.zero_grad()
        self.manual_backward(loss_d)
        if not self.bug:
            optimizer_d.step()
        self.untoggle_optimizer(optimizer_d)

        self.toggle_optimizer(optimizer_g)
        loss_g = softplus(-self.discriminator(self.generator(torch.randn(len(real), Z)))).mean()
        optimizer_g.zero_grad()
        self.manual_backward(loss_g)
        optimizer_g.step()
        self.untoggle_optimizer(optimizer_g)

        shown = {"real": real, "fake": fake, "losses": {"d": loss_d, "g": loss_g}}  # equipoise
        return {**shown, "real_logits": real_logits, "fake_logits": fake_logits}  # equipoise


def main():
    parser = argparse.ArgumentParser(description="A GAN on a ring, in Lightning, watched.")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--bug", action="store_true", help="never step the discriminator")
    arguments = parser.parse_args()

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*num_workers.*")
    torch.set_num_threads(1)  # fastest for networks this small
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(ring(BATCH * arguments.steps)), BATCH, shuffle=True)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet)
    watch = EquipoiseCallback(audit=2, schedule="fixed", tick=10)  # equipoise
    trainer.callbacks.append(watch)  # equipoise
    trainer.fit(GAN(arguments.bug), loader)
    diagnosis = watch.diagnose()  # equipoise
    print("verdict:", diagnosis.verdict, *(f.failure for f in diagnosis.findings))  # equipoise


if __name__ == "__main__":
    main()
