"""What to change in a loop that is wired wrongly."""

from __future__ import annotations

from equipoise.clinic.remedies.entry import Remedy

WIRING = (
    Remedy(
        "zero-before-backward",
        "Zero each player's gradient right before its own backward pass",
        {"gradient_leak": 1},
        "optimizer_D.zero_grad(); loss_D.backward(); optimizer_D.step()\n"
        "optimizer_G.zero_grad(); loss_G.backward(); optimizer_G.step()",
        "Gradients add up until they are zeroed: what the other player's loss or the step before"
        " left enters the next step.",
        watch="gradient_norm/<player>",
    ),
    Remedy(
        "detach-fakes",
        "Detach the fakes in the discriminator's step",
        {"gradient_leak": 2},
        "fake_logits = D(fake.detach())   # in the discriminator's loss alone",
        "The discriminator's loss has no business in the generator; with separate optimizers and"
        " zeroed gradients it only wastes time there.",
        watch="gradient_norm/generator",
    ),
    Remedy(
        "own-parameters",
        "Build each optimizer over its own player's parameters",
        {"gradient_leak": 3},
        "optimizer_G = torch.optim.Adam(G.parameters(), lr=...)\n"
        "optimizer_D = torch.optim.Adam(D.parameters(), lr=...)",
        "A step over the other player's parameters trains it on this player's loss.",
        watch="update_ratio/<player>",
    ),
    Remedy(
        "turn-the-labels",
        "Turn the label, sign or argument that is swapped",
        {"swapped_labels": 1},
        "loss_D = bce(D(real), ones) + bce(D(fake.detach()), zeros)\n"
        "loss_G = bce(D(fake), ones)",
        "The discriminator must drive reals and fakes apart, and the generator its fakes to where"
        " the reals are driven.",
        watch="auc/discriminator",
    ),
    Remedy(
        "loss-of-logits",
        "Give the loss logits in one shape, and no sigmoid before it",
        {"swapped_labels": 2},
        "logits = D(x).view(-1)                  # no sigmoid at D's end\n"
        "loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))",
        "A second sigmoid squeezes the gradient to a quarter, and (N, 1) against (N,) compares each"
        " sample with every other's label.",
        watch="logits/gap",
    ),
    Remedy(
        "restore-the-path",
        "Let the generator's loss see fakes with their graph",
        {"no_gradient_to_generator": 1},
        "fake = G(z)                             # outside torch.no_grad()\n"
        "loss_G = -D(fake).mean()                # no detach, no rounding, no .data",
        "A gradient flows only through what autograd recorded.",
        watch="gradient_norm/generator",
    ),
    Remedy(
        "one-range",
        "Normalize the data to the range of the generator's last activation",
        {"data_range_mismatch": 1},
        "x = x.float() / 127.5 - 1               # tanh: [-1, 1]; sigmoid: x / 255",
        "Otherwise one pixel's value tells real from fake, and the discriminator wins without"
        " looking.",
        watch="batch/real/extreme",
    ),
    Remedy(
        "separate-batches",
        "Feed the discriminator reals and fakes in batches of their own",
        {"batch_norm_leak": 1},
        "real_logits = D(real); fake_logits = D(fake.detach())   # not D(torch.cat([real, fake]))",
        "Its statistics are then composed alike in both players' steps.",
        watch="auc/discriminator",
    ),
    Remedy(
        "step-the-optimizer",
        "Let the player's own optimizer step, over the player's own parameters",
        {"stalled_player": 1},
        "optimizer = torch.optim.Adam(player.parameters(), lr=...)   # this player's, all of them\n"
        "loss.backward(); optimizer.step()                           # in every iteration",
        "Weights that stand still have no optimizer, the wrong one, or one that is never stepped.",
        watch="update_ratio/<player>",
    ),
    Remedy(
        "unfreeze",
        "Give the player back its gradients and its learning rate",
        {"stalled_player": 2},
        "player.requires_grad_(True); print([g['lr'] for g in optimizer.param_groups])",
        "requires_grad_(False) left over from the other player's step, or a schedule that ends"
        " at 0.",
        watch="update_ratio/<player>",
    ),
)  # fmt: skip
