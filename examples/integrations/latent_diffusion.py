"""The shape of taming-transformers and latent diffusion: one module that holds both losses.

`optimizer_idx` says which player's loss is asked for; the adversarial term is weighed by gradient
norms at the last layer and starts at `disc_start`. The lines marked `# equipoise` are all it takes.

--bug: the discriminator's loss gets reconstructions that are not detached, and its backward pass
comes after the autoencoder's gradient was zeroed, as in a public port (dome272/VQGAN-pytorch#16).
The autoencoder then also learns to please the discriminator's own loss.
"""

import torch
from parts import Autoencoder, options, patch_discriminator, pictures, tell
from torch import nn
from torch.nn.functional import relu

import equipoise  # equipoise

BATCH = 16


class LossWithDiscriminator(nn.Module):
    def __init__(self, disc_start, disc_weight=0.8):
        super().__init__()
        self.discriminator = patch_discriminator()
        self.disc_start, self.disc_weight = disc_start, disc_weight

    def adaptive_weight(self, reconstruction, adversarial, last_layer):
        of_reconstruction = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)[0]
        of_adversarial = torch.autograd.grad(adversarial, last_layer, retain_graph=True)[0]
        weight = of_reconstruction.norm() / (of_adversarial.norm() + 1e-4)
        return weight.clamp(0, 1e4).detach() * self.disc_weight

    def forward(self, inputs, decoded, optimizer_idx, step, last_layer, bug=False):
        on = float(step >= self.disc_start)
        if optimizer_idx == 0:
            reconstruction = (inputs - decoded).abs().mean()
            adversarial = -self.discriminator(decoded).mean()
            weight = self.adaptive_weight(reconstruction, adversarial, last_layer)
            log = {"reconstruction": reconstruction, "generator": adversarial, "weight": weight}
            return reconstruction + on * weight * adversarial, log
        real_logits = self.discriminator(inputs)
        fake_logits = self.discriminator(decoded if bug else decoded.detach())
        loss = 0.5 * (relu(1 - real_logits).mean() + relu(1 + fake_logits).mean())
        return on * loss, {"real_logits": real_logits, "fake_logits": fake_logits}


def train(steps, bug, disc_start=40):
    model, loss = Autoencoder(), LossWithDiscriminator(disc_start)
    opt_ae = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.9))
    opt_disc = torch.optim.Adam(loss.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.9))
    watched = model, loss.discriminator, opt_ae, opt_disc  # equipoise
    options = {"adversarial_start": disc_start, "schedule": "fixed", "tick": 10}  # equipoise
    monitor = equipoise.Monitor(*watched, **options)  # equipoise
    monitor.audit(disc_start + 2)  # equipoise

    for step in range(steps):
        inputs = pictures(BATCH)
        decoded = model(inputs)
        loss_ae, log = loss(inputs, decoded, 0, step, model.last.weight)
        loss_disc, logits = loss(inputs, decoded, 1, step, model.last.weight, bug)
        opt_ae.zero_grad()
        loss_ae.backward(retain_graph=True)
        opt_disc.zero_grad()
        loss_disc.backward()
        opt_ae.step()
        opt_disc.step()

        weight = log.pop("weight")  # equipoise
        seen = {"real": inputs, "fake": decoded, "adaptive_weight": weight, **logits}  # equipoise
        monitor.observe(**seen, losses=log | {"discriminator": loss_disc})  # equipoise

    tell(monitor)  # equipoise


if __name__ == "__main__":
    chosen = options(__doc__, steps=400)
    train(chosen.steps, chosen.bug)
