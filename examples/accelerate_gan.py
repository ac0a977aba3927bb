"""A GAN with Accelerate: the lines marked `# equipoise` are all it takes.

The monitor is given what `prepare` returned: it looks through the wrappers itself.

    python examples/accelerate_gan.py
    python examples/accelerate_gan.py --bug    # the fakes are not detached
"""

import argparse
import math

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.functional import softplus

import equipoise  # equipoise

BATCH, Z = 64, 8


def ring(count):
    angle = torch.randint(8, (count,)) * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(count, 2)


def network(inputs, outputs, width=64):
    hidden = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def train(steps, bug):
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    players = network(Z, 2), network(2, 1)
    optimizers = [torch.optim.Adam(p.parameters(), lr=1e-3, betas=(0.0, 0.99)) for p in players]
    loader = torch.utils.data.DataLoader(ring(BATCH * steps), BATCH)
    generator, discriminator, optimizer_g, optimizer_d, loader = accelerator.prepare(
        *players, *optimizers, loader
    )
    watched = generator, discriminator, optimizer_g, optimizer_d  # equipoise
    monitor = equipoise.Monitor(*watched, schedule="fixed", tick=10)  # equipoise
    monitor.audit()  # equipoise

    for real in loader:
        with accelerator.accumulate(generator, discriminator):
            optimizer_g.zero_grad()
            fake = generator(torch.randn(len(real), Z))
            judged = fake if bug else fake.detach()
            real_logits, fake_logits = discriminator(real), discriminator(judged)
            loss_d = (softplus(-real_logits) + softplus(fake_logits)).mean()
            accelerator.backward(loss_d)
            optimizer_d.step()
            optimizer_d.zero_grad()

            loss_g = softplus(-discriminator(generator(torch.randn(len(real), Z)))).mean()
            accelerator.backward(loss_g, inputs=list(generator.parameters()))
            optimizer_g.step()

        losses = {"discriminator": loss_d, "generator": loss_g}  # equipoise
        logits = {"real_logits": real_logits, "fake_logits": fake_logits}  # equipoise
        monitor.observe(real=real, fake=fake, losses=losses, **logits)  # equipoise

    diagnosis = monitor.diagnose()  # equipoise
    print("verdict:", diagnosis.verdict, *(f.failure for f in diagnosis.findings))  # equipoise


def main():
    parser = argparse.ArgumentParser(description="A GAN on a ring, with Accelerate, watched.")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--bug", action="store_true", help="do not detach the fakes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # fastest for networks this small
    train(arguments.steps, arguments.bug)


if __name__ == "__main__":
    main()
