"""Distances of waveforms against closed forms, a slow twin and published mel values."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics.audio import (
    RESOLUTIONS,
    Resolution,
    hz_to_mel,
    mel_error,
    mel_filterbank,
    mel_to_hz,
    multi_resolution_stft,
    power,
)
from equipoise.metrics.measure import compare

RATE = 8000
SMALL = (Resolution(64, 16, 48), Resolution(32, 8, 32))


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("hz", "mel"),
    [
        (60, 0.9),
        (110, 1.65),
        (220, 3.3),
        (440, 6.6),
        (1000, 15),
        (6400, 42),
        (1000 * math.sqrt(6.4), 28.5),
    ],
)
def test_slaney_s_scale(hz, mel):
    # librosa's documentation; 27 mels above 1000 Hz for each factor of 6.4
    assert float(hz_to_mel(hz)) == pytest.approx(15 + 27 * math.log(hz / 1000) / math.log(6.4)
                                                 if hz > 1000 else mel)  # fmt: skip
    assert float(hz_to_mel(hz)) == pytest.approx(mel, abs=1e-3)


@pytest.mark.parametrize(("hz", "mel"), [(0, 0), (700, 781.17), (1000, 999.99), (8000, 2840.02)])
def test_htk_s_scale(hz, mel):
    assert float(hz_to_mel(hz, "htk")) == pytest.approx(mel, abs=0.01)


@given(hz=st.floats(0, 24000), scale=st.sampled_from(["slaney", "htk"]))
def test_scales_have_inverses_and_rise(hz, scale):
    assert float(mel_to_hz(hz_to_mel(hz, scale), scale)) == pytest.approx(hz, abs=1e-6)
    assert float(hz_to_mel(hz + 1, scale)) > float(hz_to_mel(hz, scale))


def slow_filters(rate, fft, bands, low, high, scale, norm):
    mels = np.linspace(float(hz_to_mel(low, scale)), float(hz_to_mel(high, scale)), bands + 2)
    f = [float(mel_to_hz(m, scale)) for m in mels]
    table = np.zeros((bands, fft // 2 + 1))
    for i in range(bands):
        for k in range(fft // 2 + 1):
            at = k * rate / fft
            if f[i] <= at <= f[i + 1]:
                table[i, k] = (at - f[i]) / (f[i + 1] - f[i])
            elif f[i + 1] < at <= f[i + 2]:
                table[i, k] = (f[i + 2] - at) / (f[i + 2] - f[i + 1])
        table[i] *= 2 / (f[i + 2] - f[i]) if norm else 1
    return table


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", None])
def test_filters_match_their_slow_twin(scale, norm):
    ours = mel_filterbank(RATE, 256, 12, low=100, high=3000, scale=scale, norm=norm)
    slow = slow_filters(RATE, 256, 12, 100, 3000, scale, norm)
    assert np.allclose(ours.numpy(), slow, atol=1e-12)


def test_normalized_filters_have_area_one():
    filters = mel_filterbank(22050, 4096, 40)
    area = filters.sum(dim=1) * 22050 / 4096
    assert torch.allclose(area, torch.ones(40, dtype=torch.float64), atol=0.01)


def test_white_filters_cover_the_middle_evenly():
    # unnormalized triangles with shared corners add to 1 between the first and last peak
    filters = mel_filterbank(RATE, 512, 10, norm=None)
    total = filters.sum(dim=0)
    first, last = int(filters[0].argmax()) + 1, int(filters[-1].argmax())
    assert torch.allclose(total[first:last], torch.ones(last - first, dtype=torch.float64))


def slow_power(x, resolution):
    """Frames centred on multiples of the hop, by a plain DFT."""
    fft, hop, window = resolution
    padded = np.pad(x, fft // 2, mode="reflect")
    hann = np.zeros(fft)
    start = (fft - window) // 2
    hann[start : start + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = [padded[i : i + fft] * hann for i in range(0, len(padded) - fft + 1, hop)]
    k, t = np.arange(fft // 2 + 1)[:, None], np.arange(fft)
    basis = np.exp(-2j * np.pi * k * t / fft)
    return np.stack([np.abs(basis @ frame) ** 2 for frame in frames], axis=1)


def test_the_loss_matches_its_slow_twin():
    x, y = noise(3, 200), noise(3, 200, seed=1)
    measure = multi_resolution_stft(x, y, sample_rate=RATE, resolutions=SMALL)
    convergence, logarithm = [], []
    for a, b in zip(x.numpy(), y.numpy(), strict=True):
        one, two = [], []
        for resolution in SMALL:
            s, t = (np.sqrt(slow_power(w, resolution).clip(1e-7)) for w in (a, b))
            one.append(np.linalg.norm(s - t) / np.linalg.norm(s))
            two.append(np.abs(np.log(s) - np.log(t)).mean())
        convergence.append(np.mean(one))
        logarithm.append(np.mean(two))
    assert measure.parts["spectral_convergence"] == pytest.approx(np.mean(convergence), rel=1e-9)
    assert measure.parts["log_magnitude"] == pytest.approx(np.mean(logarithm), rel=1e-9)
    total = np.add(convergence, logarithm)
    assert measure.value == pytest.approx(total.mean(), rel=1e-9)
    assert measure.error == pytest.approx(total.std(ddof=1) / math.sqrt(3), rel=1e-9)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_a_gain_matches_the_closed_form(gain):
    x = noise(2, 4000)
    measure = multi_resolution_stft(x, gain * x, sample_rate=RATE)
    assert measure.parts["spectral_convergence"] == pytest.approx(abs(1 - gain), rel=1e-6)
    assert measure.parts["log_magnitude"] == pytest.approx(abs(math.log(gain)), rel=1e-4)
    mel = mel_error(x, gain * x, sample_rate=RATE, bands=20)
    assert mel.value == pytest.approx(abs(math.log(gain)), rel=1e-4)


def test_parallel_wavegan_s_resolutions_are_the_default():
    measure = multi_resolution_stft(noise(2, 2000), noise(2, 2000, seed=1), sample_rate=24000)
    said = measure.convention
    assert said["resolutions"] == ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    assert RESOLUTIONS[0].window / 24000 == 0.025
    assert (said["sample_rate"], said["window"], said["n"]) == (24000, "hann", 2)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_equal_waveforms_score_zero_and_phase_is_not_seen(seed):
    x, y = noise(2, 300, seed=seed), noise(2, 300, seed=seed + 1)
    few = {"sample_rate": RATE, "resolutions": SMALL}
    assert multi_resolution_stft(x, x, **few).value == 0
    assert multi_resolution_stft(x, -x, **few).value == pytest.approx(0, abs=1e-12)
    mel = {"sample_rate": RATE, "resolution": SMALL[0], "bands": 8}
    assert mel_error(x, x, **mel).value == 0
    assert mel_error(x, y, **mel).value == pytest.approx(mel_error(y, x, **mel).value)


def test_on_a_pure_tone_the_logarithm_minds_hiss_more_than_a_wrong_pitch():
    t = torch.arange(4000, dtype=torch.float64) / RATE
    tone, higher = (torch.sin(2 * math.pi * hz * t)[None] for hz in (440, 660))
    hiss = tone + 0.001 * noise(1, 4000)
    near, far = (multi_resolution_stft(tone, w, sample_rate=RATE).parts for w in (hiss, higher))
    assert far["spectral_convergence"] > 100 * near["spectral_convergence"]
    assert near["log_magnitude"] > far["log_magnitude"]  # as the docstring warns


def test_a_tone_lies_in_its_own_band():
    t = torch.arange(4096, dtype=torch.float64) / RATE
    tone = torch.sin(2 * math.pi * 1000 * t)[None]
    spectrum = power(tone, Resolution(1024, 256, 1024), center=False).sqrt()
    mels = (mel_filterbank(RATE, 1024, 20) @ spectrum)[0].mean(dim=1)
    corners = mel_to_hz(torch.linspace(0, float(hz_to_mel(RATE / 2)), 22, dtype=torch.float64))
    assert int(mels.argmax()) == int((corners[1:-1] - 1000).abs().argmin())


def test_empty_bands_are_said():
    measure = mel_error(noise(1, 400), noise(1, 400, seed=1), sample_rate=RATE,
                        resolution=Resolution(32, 8, 32), bands=40)  # fmt: skip
    assert "mel bands hold no frequency bin" in measure.warnings[0]


def test_another_sample_rate_is_another_number():
    x, y = noise(1, 4000), noise(1, 4000, seed=1)
    one, two = (mel_error(x, y, sample_rate=r, bands=20) for r in (8000, 16000))
    with pytest.raises(ValueError, match="sample_rate 8000 against 16000"):
        compare(one, two)


X = noise(2, 300)
BAD = [
    (lambda: mel_error(X, X[:1], sample_rate=RATE), "as many of the one as of the other"),
    (lambda: mel_error(X, X[:, :9], sample_rate=RATE), "resize or crop both alike"),
    (lambda: mel_error(X, X, sample_rate=0), "sample_rate = 0"),
    (lambda: mel_error(X, X, sample_rate=RATE), "waveforms have 300 samples: resolution"),
    (lambda: mel_error(X[0], X[0], sample_rate=RATE), r"must be \(N, T\)"),
    (lambda: mel_error(X, X * math.nan, sample_rate=RATE), "estimate: waveform 0 holds NaN"),
    (lambda: mel_error(0 * X, X, sample_rate=RATE), "target: waveform 0 is silent"),
    (
        lambda: multi_resolution_stft(X, X, sample_rate=RATE, resolutions=((32, 40, 32),)),
        "1 <= hop <= window <= fft",
    ),
    (lambda: multi_resolution_stft(X, X, sample_rate=RATE), "300 samples"),
    (lambda: mel_filterbank(RATE, 256, 9, high=5000), "0 <= low < high <= 4000.0 Hz"),
    (lambda: mel_filterbank(RATE, 256, 0), "bands = 0"),
    (lambda: mel_filterbank(RATE, 256, 9, norm="slany"), "did you mean 'slaney'"),
    (lambda: hz_to_mel(3.0, "hkt"), "did you mean 'htk'"),
]


@pytest.mark.parametrize(("call", "said"), BAD)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
