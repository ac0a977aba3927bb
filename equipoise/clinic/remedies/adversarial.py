"""The adversarial term beside another loss: its weight, its scale, when it comes in.

Recipes train GANs alone, so these are changes of code.
"""

from __future__ import annotations

from equipoise.clinic.remedies.entry import Remedy

ADVERSARIAL = (
    Remedy(
        "scale-free-weight",
        "Make the adaptive weight free of scale: relative epsilon, a bound on the share",
        {"adaptive_weight_explosion": 1, "adversarial_term_off": 3},
        "from equipoise.game import Adaptive, adaptive_weight\n"
        "settings = Adaptive(disc_weight=0.5, largest=1e9, eps=1e-8, relative=True,"
        " largest_share=1.0)\n"
        "w = adaptive_weight(reconstruction, adversarial, last_layer_weight, settings).weight",
        "Epsilon 1e-4 and clamp 1e4 are lengths of gradients, and those change by C H W with the"
        " reduction; a share does not. The weight must be a number: detach it.",
        takes_effect="live",
        watch="adversarial_share",
        sources=("arXiv 2012.09841, equation 7", "CompVis/latent-diffusion#176"),
    ),
    Remedy(
        "fixed-adversarial-weight",
        "Weigh the adversarial term with a small constant",
        {"adaptive_weight_explosion": 2, "adversarial_cliff": 4},
        "loss = reconstruction + 0.1 * ramp * adversarial   # reconstruction as a mean over pixels",
        "An adaptive weight magnifies the adversarial gradient most where the discriminator has"
        " least to say. Later tokenizers went from it to constants of 0.01 to 0.1.",
        takes_effect="live",
        watch="adversarial_share",
        caution="Under a sum over pixels multiply by their number.",
        sources=("bytedance/1d-tokenizer", "TencentARC/SEED-Voken", "arXiv 2212.05199"),
    ),
    Remedy(
        "steady-discriminator",
        "Hold the discriminator: spectral or group norm for batch norm, LeCam, R1",
        {"adaptive_weight_explosion": 3, "adversarial_cliff": 3},
        "from equipoise.game.penalties import lecam\n"
        "D = spectral norm on every convolution; loss_D = hinge + 0.001 to 0.05 * lecam",
        "Where the discriminator is sure its gradient dies at the fakes, and the weight divides by"
        " it. LeCam is the regulariser that tokenizers use.",
        takes_effect="surgery",
        watch="term_gradient/adversarial",
        caution="Spectral norm makes the gradient smaller and an adaptive weight larger (20 times"
        " at initialization): bound the share, not the weight.",
        sources=("arXiv 2104.03310",),
    ),
    Remedy(
        "discriminator-first",
        "Train the discriminator alone before its term comes in",
        {"adversarial_cliff": 1, "adaptive_weight_explosion": 4},
        "d_start = g_start - 2000                  # D learns from d_start on\n"
        "w = 0 if step < g_start else w            # its term acts from g_start on",
        "At the start an untrained discriminator pulls at full strength in a random direction.",
        takes_effect="live",
        watch="auc/discriminator",
        sources=("bytetriper/RAE: D from epoch 6, G from 8", "CompVis/taming-transformers#44"),
    ),
    Remedy(
        "ramp-adversarial-term",
        "Let the adversarial term come in slowly, once the reconstruction has settled",
        {"adversarial_cliff": 2},
        "from equipoise.game import ramp\n"
        "w = w * ramp(step, start=g_start, length=5000, shape='cosine')",
        "A weight that jumps from 0 to full against a reconstruction that still falls is the cliff"
        " of many public runs.",
        takes_effect="live",
        watch="adversarial_share",
    ),
    Remedy(
        "restore-adversarial-path",
        "Let the adversarial term reach the generator",
        {"adversarial_term_off": 1, "no_gradient_to_generator": 2},
        "adversarial = -D(y_hat).mean()            # y_hat with its graph: no detach, no no_grad\n"
        "loss = reconstruction + w * adversarial   # added, from adversarial_start on, in steps",
        "A detached fake, a start that is counted in other units than the loop's, or a weight of 0"
        " each leave an autoencoder without a discriminator.",
        takes_effect="live",
        watch="term_gradient/adversarial",
    ),
    Remedy(
        "raise-adversarial-weight",
        "Raise the adversarial weight until its share is 0.1 to 1, and loosen its clamp",
        {"adversarial_term_off": 2},
        "w = 0.1 / monitor.diagnose().signals['adversarial_share'] * w",
        "A weight or clamp that was tuned under a mean over pixels is C H W times too small under a"
        " sum.",
        takes_effect="live",
        watch="adversarial_share",
        caution="Ramp it: a jump is a cliff.",
    ),
)  # fmt: skip
