"""Attach the monitor to a GAN loop of one's own: the lines marked `# equipoise` are all it takes.

The loop trains a generator of points on a ring of eight places, in plain PyTorch. Run it with

    python examples/attach_to_a_loop.py
    python examples/attach_to_a_loop.py --forget-generator    # a mistake, to see it found
"""

import argparse
import math

import torch
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


def train(steps, forget_generator=False):
    torch.manual_seed(0)
    generator, discriminator = network(Z, 2), network(2, 1)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    players = (generator, discriminator, optimizer_g, optimizer_d)  # equipoise
    # These networks are tiny: reading them costs as much as training them, so 10 % (default 1 %).
    monitor = equipoise.Monitor(*players, overhead=0.1)  # equipoise

    for _ in range(steps):
        real = ring(BATCH)
        fake = generator(torch.randn(BATCH, Z)).detach()
        real_logits, fake_logits = discriminator(real), discriminator(fake)
        loss_d = (softplus(-real_logits) + softplus(fake_logits)).mean()
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()

        loss_g = softplus(-discriminator(generator(torch.randn(BATCH, Z)))).mean()
        optimizer_g.zero_grad()
        loss_g.backward()
        if not forget_generator:
            optimizer_g.step()

        losses = {"discriminator": loss_d, "generator": loss_g}  # equipoise
        logits = {"real_logits": real_logits, "fake_logits": fake_logits}  # equipoise
        monitor.observe(real=real, fake=fake, losses=losses, **logits)  # equipoise

    return monitor.diagnose()  # equipoise


def main():
    parser = argparse.ArgumentParser(description="A GAN on a ring, watched.")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--forget-generator", action="store_true", help="never step the generator")
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # fastest for networks this small
    diagnosis = train(arguments.steps, arguments.forget_generator)
    print(f"verdict: {diagnosis.verdict} (steps {diagnosis.steps[0]} to {diagnosis.steps[1]})")
    for finding in diagnosis.findings:
        print(f"- {finding.failure} ({finding.confidence:.0%}): {finding.summary}")
        print(f"  do: {finding.remedies[0].title}")
    for note in diagnosis.notes:
        print(f"- normal: {note.summary} {note.reason}")


if __name__ == "__main__":
    main()
