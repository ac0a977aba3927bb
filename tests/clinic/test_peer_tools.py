"""Other tools' rules on synthetic traces: each says what its own text says it would."""

import numpy as np
import pytest
from clinic_scenarios import READINGS, run

from benchmarks.diagnosis import TOOLS
from benchmarks.faults import peers
from equipoise.clinic.failures import FAILURES

T = np.arange(READINGS)
WAVE = np.sin(T * 0.7)


def climbing(end):
    """An accuracy that rises to `end` with steps of more than 1 % at the start."""
    return end - 0.3 * np.exp(-T / 10)


STUCK = {"accuracy/discriminator": np.full(READINGS, 0.5)}
CASES = {
    "a sure discriminator": ("accuracy above 99 %", {"accuracy/discriminator": 0 * T + 0.995},
                             ["discriminator_dominance"]),
    "one just short of it": ("accuracy above 99 %", {"accuracy/discriminator": 0 * T + 0.985}, []),
    "a flat loss": ("steady loss (AutoGAN)", {"loss/generator": 0 * T + 0.7}, ["mode_collapse"]),
    "a lively loss": ("steady loss (AutoGAN)",
                      {"loss/generator": WAVE, "loss/discriminator": WAVE}, []),
    "learning well": ("AUTOTRAINER's thresholds", {"accuracy/discriminator": climbing(0.9)}, []),
    "swinging": ("AUTOTRAINER's thresholds",
                 {"accuracy/discriminator": 0.8 + 0.1 * np.sin(T * 2.5)}, ["oscillation"]),
    "never rising": ("AUTOTRAINER's thresholds", STUCK, ["stagnation"]),
    "dead units": ("AUTOTRAINER's thresholds",
                   STUCK | {"gradient_zero/generator": 0 * T + 0.71}, ["vanishing_gradient"]),
    "some dead units": ("AUTOTRAINER's thresholds",
                        STUCK | {"gradient_zero/generator": 0 * T + 0.69}, ["stagnation"]),
    "vanishing": ("AUTOTRAINER's thresholds",
                  STUCK | {"gradient_norm/generator": 0 * T + 0.9e-4}, ["vanishing_gradient"]),
    "exploding": ("AUTOTRAINER's thresholds",
                  STUCK | {"gradient_norm/discriminator": 0 * T + 71.0}, ["exploding_gradient"]),
    "exploding, and yet it learns": ("AUTOTRAINER's thresholds",
        {"accuracy/discriminator": climbing(0.9), "gradient_norm/generator": 0 * T + 71.0}, []),
    "not a number": ("AUTOTRAINER's thresholds",
                     {"accuracy/discriminator": climbing(0.9), "loss/generator": T * np.nan},
                     ["non_finite"]),
    "a huge loss": ("AUTOTRAINER's thresholds",
                    {"accuracy/discriminator": climbing(0.9), "loss/generator": 1e5 + T},
                    ["exploding_gradient"]),
}  # fmt: skip
PACKAGED = {
    "a norm of zero": ("training-doctor", {"gradient_norm/generator": 0 * T + 1e-9},
                       "vanishing_gradient"),
    "norms over 100": ("training-doctor", {"gradient_norm/discriminator": 0 * T + 1e4},
                       "exploding_gradient"),
    "no number": ("training-doctor", {"loss/generator": np.where(T < 50, 1.0, np.nan)},
                  "non_finite"),
    "a loss that grows": ("torchmortem", {"loss/generator": 1.2**T}, "divergence"),
    "a loss that stands": ("torchmortem", {"loss/generator": 0 * T + 0.7}, "stagnation"),
    "weights that stand": ("torchmortem", {"parameter_norm/generator": 0 * T + 5.0,
                                           "update_ratio/generator": 0 * T + 1e-9},
                           "stalled_player"),
    "weights that grow": ("torchmortem", {"parameter_norm/generator": 1.0 + T,
                                          "update_ratio/generator": 0 * T + 1e-3}, "divergence"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_written_out_rules_say_what_their_thresholds_say(case):
    tool, changes, expected = CASES[case]
    assert peers.RULES[tool](run(changes)) == expected


@pytest.mark.parametrize("case", PACKAGED)
def test_packaged_tools_get_the_traces_signals(case):
    tool, changes, expected = PACKAGED[case]
    module, says = peers.PACKAGES[tool]
    pytest.importorskip(module)
    assert expected in says(run(changes))
    assert expected not in says(run(count=30)), "and the well run is not called so"


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("count", [0, 1, 3, READINGS])
def test_every_tool_answers_any_trace_with_known_failures(tool, count):
    said = TOOLS[tool](run(count=count))
    assert set(said) <= set(FAILURES)
    assert len(said) == len(set(said))


def test_a_package_that_is_absent_is_named_and_not_asked():
    assert set(peers.PACKAGES) == set(peers.ABSENT) | (set(peers.PEERS) - set(peers.RULES))
