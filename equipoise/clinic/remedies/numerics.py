"""What numbers are lost to: precision, square roots, the measurement itself."""

from __future__ import annotations

from equipoise.clinic.remedies.entry import Remedy

NUMERICS = (
    Remedy(
        "full-precision-penalty",
        "Compute gradient penalties and square roots in float32, with an epsilon inside roots",
        {"non_finite": 2},
        "with torch.autocast(device_type, enabled=False):\n"
        "    penalty = gradient.float().flatten(1).square().sum(1)",
        "Squared gradients overflow half precision at 256, and the derivative of sqrt at 0 is"
        " infinite.",
        watch="nonfinite/discriminator",
    ),
    Remedy(
        "scale-the-loss",
        "Scale the losses, one scaler per player, or use bfloat16 autocast over float32 weights",
        {"precision_underflow": 1},
        "scaler_G = torch.amp.GradScaler()       # another for D\n"
        "scaler_G.scale(loss_G).backward(); scaler_G.step(optimizer_G); scaler_G.update()",
        "float16 rounds to 0 below 6e-8, and weights in half precision lose updates under 1/512 of"
        " them.",
        watch="gradient_norm/generator",
    ),
    Remedy(
        "measure-again",
        "Mend the measurement: float64 statistics, enough samples, one resize and one reference",
        {"broken_metric": 1},
        "mean and covariance in float64; at least as many samples as features, 10,000 or more;\n"
        "the same resize and the same reference for every evaluation",
        "A distance that no samples can have says nothing of the run; judge it by other signals.",
        watch="metric/fid",
    ),
)  # fmt: skip
