"""How near waveforms lie in time and frequency: multi-resolution STFT loss and mel error."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.errors import unknown
from equipoise.metrics.averages import mean_measure
from equipoise.metrics.images import Images, checked_batch, pair_chunks, same_shape
from equipoise.metrics.measure import Measure

Scale = Literal["slaney", "htk"]

POWER_FLOOR = 1e-7  # of |STFT|^2 before the root; 1e-18 in the first code of arXiv 1910.11480
POWER_ADDED = 1e-9  # to |STFT|^2 before the root; jik876/hifi-gan
MEL_FLOOR = 1e-5  # of mel magnitudes before the logarithm; jik876/hifi-gan
BREAK_HZ, BREAK_MEL = 1000.0, 15.0  # Slaney's scale: linear below, logarithmic above
LINEAR = 200.0 / 3  # Hz a mel
STEP = math.log(6.4) / 27  # log Hz a mel


class Resolution(NamedTuple):
    """One STFT, all in samples."""

    fft: int
    hop: int
    window: int


RESOLUTIONS = (  # arXiv 1910.11480, table 1
    Resolution(1024, 120, 600),
    Resolution(2048, 240, 1200),
    Resolution(512, 50, 240),
)


def multi_resolution_stft(
    target: Images,
    estimate: Images,
    *,
    sample_rate: int,
    resolutions: tuple[Resolution, ...] = RESOLUTIONS,
) -> Measure:
    """Multi-resolution STFT loss of waveforms (N, T): mean of spectral convergence + log magnitude.

    SC = |S - S^|_F / |S|_F, LM = mean |ln S - ln S^|, S = sqrt(max(|STFT|^2, 1e-7)) of the target,
    S^ of the estimate, each of one waveform; mean over resolutions, then over waveforms. Windows
    are periodic Hann, centred, the ends mirrored. Not symmetric: SC divides by the target.
    Phase is not seen (-x scores 0), nor what lies below the floor. The logarithm weighs empty bins
    as much as full ones: on a pure tone, hiss at -60 dB costs LM more than a wrong pitch.
    parts: "spectral_convergence", "log_magnitude". error: over waveforms.

    The resolutions are in samples: at another sample rate they mean other times.

    Raises:
        ValueError: shapes differ, NaN, waveforms too short, a silent target, a wrong resolution.

    Source: arXiv 1910.11480, eq. 4 to 6.
    """
    x, y = _waveforms(target, estimate, sample_rate)
    for r in resolutions:
        _check_resolution(r, x.shape[1], r[0] // 2)
    both = torch.stack(
        [_stft_losses(x, y, resolution) for resolution in map(Resolution._make, resolutions)]
    ).mean(dim=0)  # (2, N)
    return mean_measure(
        "multi_resolution_stft",
        both.sum(dim=0),
        convention={
            "sample_rate": sample_rate, "resolutions": tuple(map(tuple, resolutions)),
            "window": "hann", "power_floor": POWER_FLOOR,
        },
        parts={
            "spectral_convergence": float(both[0].mean()),
            "log_magnitude": float(both[1].mean()),
        },
    )  # fmt: skip


def mel_error(
    target: Images,
    estimate: Images,
    *,
    sample_rate: int,
    resolution: Resolution = Resolution(1024, 256, 1024),  # noqa: B008 - a constant tuple
    bands: int = 80,
    low: float = 0.0,
    high: float | None = None,
    scale: Scale = "slaney",
) -> Measure:
    """Mean |ln M - ln M^| of mel magnitudes of waveforms (N, T), M = max(mel |STFT|, 1e-5).

    Hann window, ends mirrored by (fft - hop) / 2, no centring; the defaults are those of HiFi-GAN's
    loss at its 22050 Hz, up to half the sample rate (its input features end at 8000 Hz). Another
    scale, number of bands or `high` is another number.
    error: over waveforms.

    Raises:
        ValueError: as `multi_resolution_stft`, and as `mel_filterbank`.

    Source: arXiv 2010.05646, eq. 4.
    """
    x, y = _waveforms(target, estimate, sample_rate)
    r = Resolution._make(resolution)
    _check_resolution(r, x.shape[1], (r.fft - r.hop) // 2)
    top = sample_rate / 2 if high is None else high
    filters = mel_filterbank(sample_rate, r.fft, bands, low=low, high=top, scale=scale)
    values = torch.cat([
        (_log_mel(a, r, filters) - _log_mel(b, r, filters)).abs().mean(dim=(1, 2))
        for a, b in pair_chunks(x, y)
    ])  # fmt: skip
    empty = int((filters.sum(dim=1) == 0).sum())
    said = f"{empty} of {bands} mel bands hold no frequency bin: lower bands, or raise fft"
    convention = {
        "sample_rate": sample_rate, "resolution": tuple(r), "window": "hann", "bands": bands,
        "low": low, "high": top, "scale": scale, "norm": "slaney", "floor": MEL_FLOOR,
    }  # fmt: skip
    return mean_measure(
        "mel_error", values, convention=convention, warnings=(said,) if empty else ()
    )


def hz_to_mel(hz: Tensor | float, scale: Scale = "slaney") -> Tensor:
    """Mels of frequencies in Hz, float64.

    "htk": 2595 log10(1 + f / 700). "slaney": 3 f / 200 below 1000 Hz, 15 + 27 ln(f / 1000) / ln 6.4
    above (librosa's default).
    """
    f = torch.as_tensor(hz, dtype=torch.float64)
    if _scale(scale) == "htk":
        return 2595 * torch.log10(1 + f / 700)
    above = BREAK_MEL + torch.log(f.clamp(min=BREAK_HZ) / BREAK_HZ) / STEP
    return torch.where(f < BREAK_HZ, f / LINEAR, above)


def mel_to_hz(mel: Tensor | float, scale: Scale = "slaney") -> Tensor:
    """The inverse of `hz_to_mel`."""
    m = torch.as_tensor(mel, dtype=torch.float64)
    if _scale(scale) == "htk":
        return 700 * (10 ** (m / 2595) - 1)
    above = BREAK_HZ * torch.exp((m.clamp(min=BREAK_MEL) - BREAK_MEL) * STEP)
    return torch.where(m < BREAK_MEL, m * LINEAR, above)


def mel_filterbank(
    sample_rate: int,
    fft: int,
    bands: int,
    *,
    low: float = 0.0,
    high: float | None = None,
    scale: Scale = "slaney",
    norm: Literal["slaney"] | None = "slaney",
) -> Tensor:
    """Triangular filters (bands, fft / 2 + 1), float64, over the bins of a real FFT.

    Corners are bands + 2 points equally spaced in mels from `low` to `high` (half the sample rate
    if None); band i rises from corner i to i + 1 and falls to i + 2. norm "slaney" divides each by
    half its width in Hz, so that each has area 1; None leaves peaks of 1. As librosa.filters.mel.

    Raises:
        ValueError: bands or fft below 1, not 0 <= low < high <= sample_rate / 2.
    """
    top = sample_rate / 2 if high is None else high
    if bands < 1 or fft < 2 or not 0 <= low < top <= sample_rate / 2:
        raise ValueError(
            f"bands = {bands}, fft = {fft}, low = {low}, high = {top}: must be bands >= 1,"
            f" fft >= 2, 0 <= low < high <= {sample_rate / 2} Hz, half the sample rate; lower high"
        )
    if norm not in ("slaney", None):
        raise ValueError(unknown("norm of mel filters", str(norm), ("slaney", "None")))
    first, last = hz_to_mel(torch.tensor([low, top], dtype=torch.float64), scale).tolist()
    corners = mel_to_hz(torch.linspace(first, last, bands + 2, dtype=torch.float64), scale)
    bins = torch.arange(fft // 2 + 1, dtype=torch.float64) * sample_rate / fft
    left, middle, right = (corners[i : i + bands, None] for i in range(3))
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    filters = torch.minimum(rising, falling).clamp(min=0)
    return filters * 2 / (right - left) if norm else filters


def power(waveforms: Tensor, resolution: Resolution, *, center: bool) -> Tensor:
    """|STFT|^2: (N, fft / 2 + 1, frames), periodic Hann window.

    center: frames are centred on multiples of the hop, the ends mirrored by fft / 2; else the ends
    are mirrored by (fft - hop) / 2 and frames start at multiples of the hop.
    """
    if not center:
        margin = (resolution.fft - resolution.hop) // 2
        waveforms = F.pad(waveforms[:, None], (margin, margin), mode="reflect")[:, 0]
    spectrum = torch.stft(
        waveforms,
        resolution.fft,
        resolution.hop,
        resolution.window,
        torch.hann_window(resolution.window, dtype=waveforms.dtype),
        center=center,
        pad_mode="reflect",
        return_complex=True,
    )
    return spectrum.real.square() + spectrum.imag.square()


def _waveforms(target: Images, estimate: Images, sample_rate: int) -> tuple[Tensor, Tensor]:
    if sample_rate < 1:
        raise ValueError(f"sample_rate = {sample_rate}: must be at least 1, in samples a second")
    x = checked_batch(target, "target", "NT", item="waveform")
    y = checked_batch(estimate, "estimate", "NT", item="waveform")
    same_shape(x, y, "target and estimate")
    silent = (x == 0).all(dim=1).nonzero()
    if len(silent):
        raise ValueError(
            f"target: waveform {int(silent[0])} is silent throughout, and nothing can be told of"
            " what is near it; leave it out"
        )
    return x.cpu(), y.cpu()


def _check_resolution(resolution: Resolution, samples: int, margin: int) -> None:
    r = Resolution._make(resolution)
    if not 1 <= r.hop <= r.window <= r.fft:
        raise ValueError(
            f"resolution {tuple(r)}: must be (fft, hop, window) in samples with"
            " 1 <= hop <= window <= fft, or samples fall between windows"
        )
    if samples <= margin or samples + 2 * margin < r.fft:
        raise ValueError(
            f"waveforms have {samples} samples: resolution {tuple(r)} mirrors {margin} at each end"
            f" and needs more than that, and {r.fft} in all; give longer ones, or a smaller fft"
        )


def _stft_losses(target: Tensor, estimate: Tensor, resolution: Resolution) -> Tensor:
    """Spectral convergence and log magnitude of each pair: (2, N)."""
    parts = []
    for chunk in pair_chunks(target, estimate):
        s, t = (
            power(c.double(), resolution, center=True).clamp(min=POWER_FLOOR).sqrt() for c in chunk
        )
        convergence = (s - t).flatten(1).norm(dim=1) / s.flatten(1).norm(dim=1)
        parts.append(torch.stack([convergence, (s.log() - t.log()).abs().mean(dim=(1, 2))]))
    return torch.cat(parts, dim=1)


def _log_mel(waveforms: Tensor, resolution: Resolution, filters: Tensor) -> Tensor:
    spectrum = (power(waveforms.double(), resolution, center=False) + POWER_ADDED).sqrt()
    return (filters @ spectrum).clamp(min=MEL_FLOOR).log()


def _scale(scale: str) -> str:
    if scale not in ("slaney", "htk"):
        raise ValueError(unknown("mel scale", scale, ("slaney", "htk")))
    return scale
