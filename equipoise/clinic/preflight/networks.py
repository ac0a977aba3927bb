"""Checks of the two networks: bounds, normalization, layers, size, what reaches what."""

from __future__ import annotations

import math

from equipoise.clinic.preflight.entry import Check, Facts, Said, images, side

SLOPED = ("r1", "r2", "wgan_gp", "wgan_gp_one_sided", "zero_gp", "dragan")
LOGIT_OBJECTIVES_BUT = ("least_squares",)  # least squares may be fed probabilities
DEAD = 0.9  # share of units
SATURATED = 0.5  # share of pixels at the bounds before the first step
FEWEST_Z = 2
SMOOTHED = 0.4  # confidence where other layers follow: CycleGAN trains so, and shows the grid
FIELD = 0.25  # of the image's side
LEAST_RATIO, LARGEST_RATIO = 1 / 50, 20.0
SMALL_IMAGE = 8  # pixels of side below which a dense generator of a few numbers is enough


def not_finite(facts: Facts) -> Said | None:
    bad = {
        name: facts.get(f"{name}/nonfinite", 0)
        for name in ("generator", "discriminator")
        if facts.get(f"{name}/nonfinite", 0) > 0
    }
    if not bad or facts.get("real/nonfinite", 0) > 0:
        return None
    name, share = next(iter(bad.items()))
    return Said(
        f"{share:.2%} of the {name}'s outputs are NaN or infinite before the first step.",
        ((f"{name}/nonfinite", share, "0"),),
        1.0,
    )


def refuses_fakes(facts: Facts) -> Said | None:
    said = facts["discriminator/refuses_fakes"]
    if not said or facts.get("generator/shape") != facts["real/shape"]:
        return None
    return Said(f"The discriminator takes reals and refuses fakes: {said}", (), 0.9)


def unreached_generator(facts: Facts) -> Said | None:
    share = facts["generator/reached"]
    if share > 0:
        return None
    return Said(
        "No weight of the generator gets a gradient of the logits of its fakes.",
        (("generator/reached", share, "1: every weight is reached"),),
        0.95,
    )


def latents_ignored(facts: Facts) -> Said | None:
    if facts["generator/varies"]:
        return None
    return Said(
        "The generator gives the same sample for every z, whatever its weights.",
        (("generator/varies", 0.0, "1: samples differ"),),
        0.95,
    )


def uncovered(facts: Facts) -> Said | None:
    for name in ("generator", "discriminator"):
        if facts.get(f"optimizer/{name}/covers") == 0:
            return Said(
                f"The {name}'s optimizer holds none of the {name}'s parameters.",
                ((f"optimizer/{name}/covers", 0.0, "1: all of them"),),
                0.95,
            )
    return None


def dead_units(facts: Facts) -> Said | None:
    for name in ("generator", "discriminator"):
        layer, share = facts.get(f"{name}/dead") or ("", 0.0)
        if share >= DEAD:
            return Said(
                f"{share:.0%} of the units behind {layer!r} in the {name} are 0 for every sample"
                " before the first step: hardly any gradient passes.",
                ((f"{name}/dead", share, f"below {DEAD:g}"),),
                0.8,
            )
    return None


def saturated(facts: Facts) -> Said | None:
    share = facts["generator/saturated"]
    if share < SATURATED:
        return None
    return Said(
        f"{share:.0%} of the fakes' pixels sit at the limits of the output before the first step,"
        " where the activation passes no gradient.",
        (("generator/saturated", share, f"below {SATURATED:g}"),),
        0.8,
    )


def squashed_logits(facts: Facts) -> Said | None:
    objective = facts["objective"]
    if not _probabilities(facts) or objective in LOGIT_OBJECTIVES_BUT:
        return None
    return Said(
        f"The discriminator ends in a sigmoid, and the objective {objective!r} takes logits: they"
        " stay in (0, 1), so that it can call no sample fake, and where it is sure no gradient"
        " passes.",
        (("discriminator/bound_low", 0.0, "none"), ("discriminator/bound_high", 1.0, "none")),
        0.9,
    )


def probabilities(facts: Facts) -> Said | None:
    if "objective" in facts or not _probabilities(facts):
        return None
    return Said("The discriminator ends in a sigmoid: it gives probabilities, not logits.")


def _probabilities(facts: Facts) -> bool:
    low, high = facts.get("discriminator/bound_low"), facts.get("discriminator/bound_high")
    return low is not None and high is not None and abs(low) < 1e-3 and abs(high - 1) < 1e-3


def coupled_penalty(facts: Facts) -> Said | None:
    active = [n for n in SLOPED if facts["penalties"].get(n, 0) > 0]
    if not active or not facts["discriminator/batch_norms"]:
        return None
    layers = ", ".join(facts["discriminator/batch_norms"])
    return Said(
        f"The penalty {active[0]} differentiates D by single images, and batch normalization"
        f" ({layers}) mixes them: the gradient of the summed logits through it vanishes, and the"
        " penalty with it.",
        (("discriminator/batch_norms", float(len(facts["discriminator/batch_norms"])), "0"),),
        0.95,
    )


def batch_norm_in_discriminator(facts: Facts) -> Said | None:
    layers = facts["discriminator/batch_norms"]
    if not layers or any(facts.get("penalties", {}).get(n, 0) > 0 for n in SLOPED):
        return None
    return Said(
        f"The discriminator has batch normalization ({len(layers)} layers): it judges a sample by"
        " its batch mates."
    )


def batch_norm_at_the_ends(facts: Facts) -> Said | None:
    where = []
    if facts.get("generator/batch_norm_last"):
        where.append("behind the generator's last layer")
    if facts.get("discriminator/batch_norm_first"):
        where.append("at the discriminator's input")
    return Said(f"Batch normalization stands {' and '.join(where)}.") if where else None


def checkerboard(facts: Facts) -> Said | None:
    uneven = [(n, k, s) for n, k, s in facts["generator/transposed"] if k % s]
    if not uneven:
        return None
    last = facts.get("generator/last_weighted")
    name, kernel, stride = max(uneven, key=lambda layer: (layer[1] < layer[2], layer[0] == last))
    if kernel < stride:
        seen, confidence = "leaves pixels that nothing is written to", 0.9
    else:
        few, many = (kernel // stride) ** 2, math.ceil(kernel / stride) ** 2
        seen = f"writes {few} time{'s' * (few > 1)} to some pixels and {many} times to others"
        confidence = 0.6 if name == last else SMOOTHED
    evened = ", unless the layers behind it even that out" if confidence == SMOOTHED else ""
    return Said(
        f"The transposed convolution {name!r} has kernel {kernel} and stride {stride}: it {seen},"
        f" which lays a grid over the samples{evened}.",
        (("generator/transposed", float(kernel % stride), "0: kernel modulo stride"),),
        confidence,
    )


def max_pooling(facts: Facts) -> Said | None:
    layers = facts.get("discriminator/max_pooling", []) + facts.get("generator/max_pooling", [])
    if not layers:
        return None
    return Said(
        f"Max pooling ({', '.join(layers)}) hands the gradient to one pixel in each window."
    )


def plain_rectifiers(facts: Facts) -> Said | None:
    if not images(facts) or facts["discriminator/rectifiers"] != "relu":
        return None
    return Said("The discriminator's activations are ReLU: half of them pass no gradient back.")


def hidden_dense(facts: Facts) -> Said | None:
    found = [
        f"{name}'s {layer!r}"
        for name in ("generator", "discriminator")
        for layer in facts.get(f"{name}/hidden_dense", [])
    ]
    if not found or side(facts) <= SMALL_IMAGE:
        return None
    return Said(f"A dense layer reads a whole flattened map ({', '.join(found)}).")


def receptive_field(facts: Facts) -> Said | None:
    sees, whole = facts.get("discriminator/sees"), side(facts)
    if sees is None or sees >= FIELD * whole:
        return None
    return Said(
        f"One logit sees {sees} of {whole} pixels: shape and composition beyond that are judged by"
        " nobody."
    )


def capacity(facts: Facts) -> Said | None:
    ratio = facts["discriminator/parameters"] / max(facts["generator/parameters"], 1)
    if LEAST_RATIO <= ratio <= LARGEST_RATIO:
        return None
    return Said(
        f"The discriminator has {ratio:.3g} times the generator's parameters"
        f" ({facts['discriminator/parameters']:,} against {facts['generator/parameters']:,})."
    )


def few_latents(facts: Facts) -> Said | None:
    z = facts["generator/z_dim"]
    if not images(facts) or facts["generator/takes"] != "z" or z > FEWEST_Z:
        return None
    return Said(
        f"z has {z} dimension{'s' if z > 1 else ''}: samples lie on a"
        f" {'surface' if z > 1 else 'curve'}, which cannot cover images.",
        (("generator/z_dim", float(z), f"above {FEWEST_Z}"),),
        0.7,
    )


def frozen(facts: Facts) -> Said | None:
    still = [n for n in ("generator", "discriminator") if facts.get(f"{n}/frozen")]
    if not still:
        return None
    return Said(f"No parameter of the {' and the '.join(still)} requires a gradient at present.")


CHECKS = (
    Check(
        "finite_outputs",
        "non_finite",
        (),
        "whether outputs are finite",
        "any NaN or infinity",
        "exact",
        "look at initialization, square roots and divisions of that network",
        not_finite,
    ),
    Check(
        "fakes_fit",
        "data_range_mismatch",
        ("discriminator/refuses_fakes", "real/shape"),
        "whether the discriminator takes fakes",
        "an error",
        "exact",
        "let type and shape of reals and fakes agree",
        refuses_fakes,
    ),
    Check(
        "reached_generator",
        "no_gradient_to_generator",
        ("generator/reached",),
        "whether the generator gets a gradient through the discriminator",
        "no tensor reached",
        "MONITORS 5.4; exact",
        "remove detach, no_grad, rounding or sampling between generator and logits",
        unreached_generator,
    ),
    Check(
        "latents_matter",
        "mode_collapse",
        ("generator/varies",),
        "whether samples follow z",
        "all equal, also with other weights",
        "exact",
        "let z enter the layers of the generator",
        latents_ignored,
    ),
    Check(
        "covered_players",
        "stalled_player",
        (),
        "whether each optimizer holds its player",
        "no parameter held",
        "MONITORS 5.4, invariant 1; exact",
        "build each optimizer from its own player's parameters()",
        uncovered,
    ),
    Check(
        "live_units",
        "vanishing_gradient",
        (),
        "dead units at the start",
        f"{DEAD:.0%} of a layer",
        "He et al. 2015: half of the units are active at the start",
        "check initialization and bias of that layer; LeakyReLU",
        dead_units,
    ),
    Check(
        "unsaturated_output",
        "saturated_output",
        ("generator/saturated",),
        "saturation at the start",
        f"{SATURATED:.0%} of the pixels",
        "tanh of N(0, 1): 0.01 % within 0.001 of a limit",
        "initialize the last layer smaller, N(0, 0.02)",
        saturated,
        asked=False,
    ),
    Check(
        "logits_not_probabilities",
        "vanishing_gradient",
        ("objective", "discriminator/bound_low", "discriminator/bound_high"),
        "whether the discriminator gives logits",
        "output in (0, 1) under an objective of logits",
        "MONITORS 5.4, invariant 9",
        "remove the sigmoid at the discriminator's end",
        squashed_logits,
        asked=False,
    ),
    Check(
        "probabilities",
        None,
        ("discriminator/bound_low", "discriminator/bound_high"),
        "whether the discriminator gives logits",
        "output in (0, 1)",
        "MONITORS 5.4, invariant 9",
        (
            "Right with BCELoss alone. With BCEWithLogitsLoss, hinge, Wasserstein or a"
            " relativistic loss remove the sigmoid."
        ),
        probabilities,
        asked=False,
    ),
    Check(
        "penalty_sees_samples",
        "batch_norm_leak",
        ("penalties", "discriminator/batch_norms"),
        "batch normalization under gradient penalties",
        "any",
        "GROUND_TRUTH 4.9; Gulrajani et al. 2017, section 4; claims 9, 20, 25",
        "take batch normalization out of the discriminator (spectral, layer or none)",
        coupled_penalty,
    ),
    Check(
        "batch_norm_in_discriminator",
        None,
        ("discriminator/batch_norms",),
        "batch normalization in the discriminator",
        "any",
        (
            "claims 5, 25, 72, 73: FID 56.3 with it, 29.3 with spectral normalization (Miyato et"
            " al. 2018)"
        ),
        (
            "It trains, but spectral or no normalization does better; never mix it with R1, R2 or"
            " WGAN-GP."
        ),
        batch_norm_in_discriminator,
    ),
    Check(
        "batch_norm_at_the_ends",
        None,
        (),
        "batch normalization at output and input",
        "any",
        "Radford et al. 2016, section 3: oscillation and instability; claim 25",
        "Leave the generator's output and the discriminator's first layer without it.",
        batch_norm_at_the_ends,
    ),
    Check(
        "kernel_by_stride",
        "checkerboard_artifacts",
        ("generator/transposed",),
        "kernels of transposed convolutions",
        "kernel not divisible by stride",
        "Odena et al. 2016; claim 81",
        "use a kernel divisible by its stride (4 for 2), or resize and convolve",
        checkerboard,
    ),
    Check(
        "max_pooling",
        None,
        (),
        "pooling",
        "any max pooling",
        "Radford et al. 2016, section 3; claim 24 (weak evidence)",
        "Strided convolutions or bilinear resampling pass the gradient to every pixel.",
        max_pooling,
    ),
    Check(
        "rectifiers",
        None,
        ("discriminator/rectifiers",),
        "the discriminator's activations",
        "ReLU alone",
        "Radford et al. 2016, section 3; claim 27",
        "LeakyReLU with slope 0.2.",
        plain_rectifiers,
    ),
    Check(
        "hidden_dense",
        None,
        (),
        "dense layers on maps",
        f"any, above {SMALL_IMAGE} pixels",
        "Radford et al. 2016, section 3; claim 26 (untested)",
        "A custom of 2016 says to leave them out; they are where most parameters sit.",
        hidden_dense,
    ),
    Check(
        "receptive_field",
        None,
        ("real/shape", "discriminator/parameters"),
        "what one logit sees",
        f"under {FIELD:.0%} of the side",
        "Isola et al. 2017, section 4.4: 70 of 256 pixels best, 16 leave tiles",
        "One more strided layer, or a second discriminator on a smaller image.",
        receptive_field,
    ),
    Check(
        "capacity",
        None,
        ("generator/parameters", "discriminator/parameters"),
        "capacity of the players",
        f"ratio outside [{LEAST_RATIO:g}, {LARGEST_RATIO:g}]",
        "convention of this project; pix2pix has 0.05; claims 63, 65, 89 (conditional)",
        "Widen the smaller player, or narrow the larger.",
        capacity,
    ),
    Check(
        "latent_size",
        "mode_collapse",
        ("generator/z_dim", "generator/takes"),
        "dimensions of z",
        f"at most {FEWEST_Z} for images",
        "claim 61: z needs at least the data's intrinsic dimension; 64 (R3GAN) to 128 in use",
        "raise z_dim to 64",
        few_latents,
    ),
    Check(
        "frozen",
        None,
        (),
        "whether parameters require gradients",
        "none of a player's",
        "StyleGAN's loops switch per phase",
        "Normal where the loop switches them on for each phase; a still player otherwise.",
        frozen,
    ),
)
