"""Checks of the real samples, alone and against what the generator can make."""

from __future__ import annotations

from equipoise.clinic.preflight.entry import Check, Facts, Said, images

BEYOND = 0.05  # of the generator's range: what a real may lie outside (resampling overshoots)
HALF = 0.475  # of the range from below: reals all above it never use the lower half
NARROW = 0.1  # of the range: reals within it hardly differ
LARGE = 10.0  # |pixel| beside an output without bounds; pixels of unit spread stay below 5
FEWEST_DISTINCT = 0.5  # share of samples that must differ from all others
REPEATED = 0.05
BLANK = 0.05
FEW = 1000  # images
RARE = 0.1  # of the mean class
PER_CLASS = 20  # mean samples of a class from which a rare class is no chance: P(0 of 20) = 2e-9


def non_finite_reals(facts: Facts) -> Said | None:
    share = facts["real/nonfinite"]
    if share == 0:
        return None
    return Said(
        f"{share:.2%} of the values of the real batch are NaN or infinite; the first update loses"
        " everything.",
        (("real/nonfinite", share, "0"),),
        1.0,
    )


def shapes_differ(facts: Facts) -> Said | None:
    real, fake = facts["real/shape"], facts["generator/shape"]
    if real == fake:
        return None
    what = "another number of channels" if real[1:] == fake[1:] else "another shape"
    return Said(
        f"Reals have shape {tuple(real)}, fakes {tuple(fake)}: {what} tells them apart"
        " without a look at the content, if the discriminator takes both at all.",
        (("real/shape", float(_numbers(real)), f"{_numbers(fake)} numbers, as the fakes"),),
        0.95,
    )


def _numbers(shape: list[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def range_mismatch(facts: Facts) -> Said | None:
    low, high = facts["real/low"], facts["real/high"]
    a, b = facts.get("generator/bound_low"), facts.get("generator/bound_high")
    if a is not None and b is not None and b > a:
        return _against_bounds(low, high, a, b)
    if a is not None and low < a - BEYOND * (high - low):
        return _differs(low, high, f"at least {a:g}", "the generator cannot reach", 0.9)
    if images(facts) and a is None and b is None and max(abs(low), abs(high)) > LARGE:
        return _differs(low, high, "about unit scale", "far from what fresh networks make", 0.8)
    return None


def _against_bounds(low: float, high: float, a: float, b: float) -> Said | None:
    width = b - a
    expected = f"[{a:g}, {b:g}], the range of the generator's output"
    if low < a - BEYOND * width or high > b + BEYOND * width:
        return _differs(low, high, expected, "reals lie where no fake can be", 0.95)
    if low >= a + HALF * width:
        return _differs(low, high, expected, "no real uses the lower half of that range", 0.85)
    if high - low < NARROW * width:
        return _differs(low, high, expected, "all reals lie in a sliver of that range", 0.8)
    return None


def _differs(low: float, high: float, expected: str, why: str, confidence: float) -> Said:
    return Said(
        f"Reals span [{low:.3g}, {high:.3g}] where {expected} is expected: {why}, so the scale"
        " alone tells them apart.",
        (("real/low", low, expected), ("real/high", high, expected)),
        confidence,
        _scaling(low, high, expected),
    )


def _scaling(low: float, high: float, expected: str) -> str:
    span = "255" if high > 2 else "1"
    return {
        "[-1, 1]": f"scale the reals: x = x / {span} * 2 - 1",
        "[0, 1]": "scale the reals: x = x / 255"
        if high > 2
        else "scale the reals: x = (x + 1) / 2",
    }.get(expected.partition(", the")[0], "scale the reals to the range of the generator's output")


def repeated_reals(facts: Facts) -> Said | None:
    share = facts["data/distinct"] / facts["data/examined"]
    if share >= FEWEST_DISTINCT:
        return None
    return Said(
        f"Only {facts['data/distinct']} of {facts['data/examined']} real samples differ: a"
        " generator that matches such data makes the same few samples over and over.",
        (("data/distinct", float(facts["data/distinct"]), f"{facts['data/examined']}"),),
        0.8,
    )


def some_repeated(facts: Facts) -> Said | None:
    share = 1 - facts["data/distinct"] / facts["data/examined"]
    if not REPEATED < share <= 1 - FEWEST_DISTINCT:
        return None
    return Said(f"{share:.0%} of the real samples repeat another one exactly.")


def blank_images(facts: Facts) -> Said | None:
    share = facts["data/blank"] / facts["data/examined"]
    if share <= BLANK:
        return None
    return Said(f"{share:.0%} of the real images are of one colour throughout.")


def few_images(facts: Facts) -> Said | None:
    size = facts["data/size"]
    if not images(facts) or size >= FEW or facts.get("augmentation", "none") != "none":
        return None
    return Said(
        f"{size} images are few: the discriminator can learn them by heart, and nothing here"
        " augments what it sees."
    )


def rare_classes(facts: Facts) -> Said | None:
    mean = facts["classes/samples"] / facts["classes/count"]
    smallest = facts["classes/smallest"]
    if facts["classes/count"] < 2 or mean < PER_CLASS or smallest >= RARE * mean:
        return None
    return Said(
        f"Class {facts['classes/smallest_label']} has {smallest} samples, the mean class"
        f" {mean:.0f}: what is made under that label can only be a copy or a guess."
    )


def one_class(facts: Facts) -> Said | None:
    if facts["classes/seen"] > 1 or facts["classes/samples"] < PER_CLASS:
        return None
    return Said(
        f"All {facts['classes/samples']} labels are {facts['classes/count'] - 1}: with several"
        " classes in the data that is a fault of the loader."
    )


CHECKS = (
    Check(
        "finite_reals",
        "non_finite",
        ("real/nonfinite",),
        "whether the reals are finite",
        "any NaN or infinity",
        "exact",
        "drop or repair these samples before training",
        non_finite_reals,
    ),
    Check(
        "equal_shapes",
        "data_range_mismatch",
        ("real/shape", "generator/shape"),
        "whether reals and fakes have one shape",
        "any difference",
        "MONITORS 5.4, invariant 6",
        "let loader and generator agree on channels and size",
        shapes_differ,
    ),
    Check(
        "pixel_range",
        "data_range_mismatch",
        ("real/low", "real/high", "generator/low"),
        "pixel range against the generator's output",
        (
            f"beyond the output's range by {BEYOND:.0%}, above its middle, or within {NARROW:.0%}"
            " of it"
        ),
        "Radford et al. 2016, section 3 (tanh and [-1, 1]); claim 59",
        "scale the reals to the range of the generator's output",
        range_mismatch,
    ),
    Check(
        "distinct_reals",
        "mode_collapse",
        ("data/distinct", "data/examined"),
        "whether the reals differ",
        f"under {FEWEST_DISTINCT:.0%} distinct",
        "FAILURES.md: check the data",
        "look at the loader (one path read again and again?) and remove repetitions",
        repeated_reals,
    ),
    Check(
        "repeated_reals",
        None,
        ("data/distinct", "data/examined"),
        "whether the reals differ",
        f"over {REPEATED:.0%} repeated",
        "convention of this project",
        "Remove repetitions, or know that they weigh more.",
        some_repeated,
    ),
    Check(
        "blank_images",
        None,
        ("data/blank", "data/examined"),
        "blank images",
        f"over {BLANK:.0%}",
        "convention of this project",
        "Remove them if they are faults of decoding or cropping; the generator will make them too.",
        blank_images,
    ),
    Check(
        "few_images",
        None,
        ("data/size",),
        "whether the data is enough",
        f"under {FEW} images without augmentation",
        "Karras et al. 2020 (ADA), figure 1: under a few thousand training turns; claim 47",
        "Augment reals and fakes alike inside the discriminator: augmentation=ada, or diffaugment.",
        few_images,
        asked=False,
    ),
    Check(
        "rare_classes",
        None,
        ("classes/smallest", "classes/smallest_label", "classes/count", "classes/samples"),
        "near-empty classes",
        f"under {RARE:.0%} of the mean class, of {PER_CLASS} or more",
        "binomial chance below 1e-6",
        "Sample classes evenly, merge the rare ones, or expect nothing of them.",
        rare_classes,
        asked=False,
    ),
    Check(
        "one_class",
        None,
        ("classes/seen", "classes/count", "classes/samples"),
        "whether labels differ",
        f"one label in {PER_CLASS} or more",
        "cases/: a 'collapse' that was one label for every image",
        "Print the labels that the loader gives.",
        one_class,
        asked=False,
    ),
)
