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


def accumulate(phase, G, D, real, z, gain, shown):
    """One round of one phase: its loss, and the backward pass."""
    if phase == "Gmain":
        loss = softplus(D(real) - D(G(z))).mean()
        shown["generator"] = loss.detach()
    elif phase == "Dmain":
        with torch.no_grad():
            fake = G(z)
        shown["real_logits"], shown["fake_logits"] = D(real), D(fake)
        loss = softplus(shown["fake_logits"] - shown["real_logits"]).mean()
        shown |= {"real": real, "fake": fake, "discriminator": loss.detach()}
    else:
        with torch.no_grad():
            fake = G(z)
        loss = 0.0
        for x in (real, fake):  # R1, R2
            x = x.detach().requires_grad_(True)
            slope = torch.autograd.grad(D(x).sum(), x, create_graph=True)[0]
            loss = loss + GAMMA / 2 * slope.square().sum(1).mean() * LAZY
    (loss * gain).backward()


def train(steps, bug):
    G, D = network(Z, 2), network(2, 1)  # noqa: N806  # the original's names
    G_ema = copy.deepcopy(G).eval().requires_grad_(False)  # noqa: N806  # the original's names
    G_opt, D_opt = (  # noqa: N806  # the original's names
        torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.0, 0.99)) for net in (G, D)
    )
    phases = [("Gmain", G, G_opt, 1), ("Dmain", D, D_opt, 1), ("Dreg", D, D_opt, LAZY)]
    objective = "relativistic"  # equipoise
    options = {"objective": objective, "overhead": 0.1, "tick": 10}  # equipoise
    monitor = equipoise.Monitor(G, D, G_opt, D_opt, **options)  # equipoise
    monitor.audit()  # equipoise

    for step in range(steps):
        shown = {}
        if bug:
            G_opt.zero_grad(set_to_none=True)
            D_opt.zero_grad(set_to_none=True)
        for name, module, opt, interval in phases:
            if step % interval:
                continue
            if not bug:
                opt.zero_grad(set_to_none=True)
                module.requires_grad_(True)
            for _ in range(ROUNDS):
                real, z = ring(BATCH), torch.randn(BATCH, Z)
                accumulate(name, G, D, real, z, 1 / ROUNDS, shown)
            if not bug:
                module.requires_grad_(False)
            for parameter in module.parameters():
                torch.nan_to_num(parameter.grad, 0.0, 1e5, -1e5, out=parameter.grad)
            opt.step()
        with torch.no_grad():
            for average, now in zip(G_ema.parameters(), G.parameters(), strict=True):
                average.lerp_(now, 0.01)

        losses = {k: shown.pop(k) for k in ("discriminator", "generator")}  # equipoise
        monitor.observe(losses=losses, **shown)  # equipoise

    tell(monitor)  # equipoise


if __name__ == "__main__":
    chosen = options(__doc__, steps=600)
    train(chosen.steps, chosen.bug)
