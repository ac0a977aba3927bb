"""The shape of StyleGAN3 and R3GAN: phases over accumulated rounds, lazy penalties, an average.

Relativistic pairing with R1 and R2 every fourth step in a phase of its own, and an exponential
moving average of the generator. The lines marked `# equipoise` are all it takes.

--bug: gradients are zeroed once before all phases and the players are not frozen in each other's,
so that the discriminator's step uses what the generator's backward pass left in it
(FoundationVision/OmniTokenizer#8, NeMo and others).
"""

import copy
import math

import torch
from parts import options, tell
from torch import nn
from torch.nn.functional import softplus

import equipoise  # equipoise

BATCH, ROUNDS, Z, LAZY, GAMMA = 64, 2, 8, 4, 0.5


def ring(count):
    angle = torch.randint(8, (count,)) * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(count, 2)


def network(inputs, outputs, width=64):
    hidden = [nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def accumulate(phase, generator, discriminator, real, z, gain, report):
    """One round of one phase: its loss, and the backward pass."""
    if phase == "Gmain":
        loss = softplus(discriminator(real) - discriminator(generator(z))).mean()
        report["generator"] = loss.detach()
    elif phase == "Dmain":
        with torch.no_grad():
            fake = generator(z)
        report["real_logits"], report["fake_logits"] = discriminator(real), discriminator(fake)
        loss = softplus(report["fake_logits"] - report["real_logits"]).mean()
        report |= {"real": real, "fake": fake, "discriminator": loss.detach()}
    else:
        with torch.no_grad():
            fake = generator(z)
        loss = 0.0
        for x in (real, fake):  # R1, R2
            x = x.detach().requires_grad_(True)
            slope = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0]
            loss = loss + GAMMA / 2 * slope.square().sum(1).mean() * LAZY
    (loss * gain).backward()


def train(steps, bug):
    generator, discriminator = network(Z, 2), network(2, 1)
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    opt_g, opt_d = (
        torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.0, 0.99))
        for net in (generator, discriminator)
    )
    phases = [("Gmain", generator, opt_g, 1), ("Dmain", discriminator, opt_d, 1)]
    phases.append(("Dreg", discriminator, opt_d, LAZY))
    players = (generator, discriminator, opt_g, opt_d)  # equipoise
    options = {"objective": "relativistic", "schedule": "fixed", "tick": 10}  # equipoise
    monitor = equipoise.Monitor(*players, **options)  # equipoise
    monitor.audit()  # equipoise
    for net in () if bug else (generator, discriminator):
        net.requires_grad_(False)

    for step in range(steps):
        report = {}  # the originals' training_stats
        if bug:
            opt_g.zero_grad(set_to_none=True)
            opt_d.zero_grad(set_to_none=True)
        for name, module, opt, interval in phases:
            if step % interval:
                continue
            if not bug:
                opt.zero_grad(set_to_none=True)
                module.requires_grad_(True)
            for _ in range(ROUNDS):
                real, z = ring(BATCH), torch.randn(BATCH, Z)
                accumulate(name, generator, discriminator, real, z, 1 / ROUNDS, report)
            if not bug:
                module.requires_grad_(False)
            for gradient in [p.grad for p in module.parameters() if p.grad is not None]:
                torch.nan_to_num(gradient, 0.0, 1e5, -1e5, out=gradient)
            opt.step()
        with torch.no_grad():
            for old, new in zip(average.parameters(), generator.parameters(), strict=True):
                old.lerp_(new, 0.01)

        losses = {k: report.pop(k) for k in ("discriminator", "generator")}  # equipoise
        monitor.observe(losses=losses, **report)  # equipoise

    tell(monitor)  # equipoise


if __name__ == "__main__":
    chosen = options(__doc__, steps=400)
    train(chosen.steps, chosen.bug)
