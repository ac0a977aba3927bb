"""Energy at the highest frequency: the trace of uneven overlap in upsampling."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import SMALLEST_IMAGE, Scene
from equipoise.monitor.probes.stage import staged

MOST_SAMPLES = 64
RING = (0.35, 0.45)  # cycles per pixel


def checkerboard_readings(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """checkerboard/ratio: R of the fakes over R of the reals; nothing for what is no image.

    About 1 where fakes are as smooth as reals; a grid of period 2 raises it. A reading: no pass.
    """
    if any(x.dim() != 4 or min(x.shape[2:]) < SMALLEST_IMAGE for x in (real, fake)):
        return {}
    of_fake, of_real = nyquist_ratio(fake), nyquist_ratio(real)
    return {"checkerboard/ratio": of_fake / of_real.clamp_min(1e-30)}


def checkerboard(scene: Scene) -> Readings:
    """`checkerboard_readings` of the fixed reals and fakes, in evaluation mode."""
    with staged(scene, training=False) as stage, torch.no_grad():
        assert scene.reals is not None
        return checkerboard_readings(stage.take(scene.reals), stage.fakes())


def nyquist_ratio(images: Tensor) -> Tensor:
    """R = mean power of the Nyquist row and column / mean power of the ring 0.35 <= |f| <= 0.45.

    Power is |FFT2|^2 of luminance (the mean over channels, less its own mean) under a Hann window,
    averaged over at most 64 images (N, C, H, W); frequencies in cycles per pixel. White noise: 1.
    Checkerboards and their cause: Odena et al. 2016 (distill.pub/2016/deconv-checkerboard).
    """
    grey = images.detach()[:MOST_SAMPLES].float().mean(1)
    grey = grey - grey.mean((1, 2), keepdim=True)
    height, width = grey.shape[1:]
    window = torch.outer(*(torch.hann_window(n, device=grey.device) for n in (height, width)))
    power = torch.fft.fft2(grey * window).abs().square().mean(0)
    rows, columns = (torch.fft.fftfreq(n, device=grey.device).abs() for n in (height, width))
    edge = (rows == rows.max())[:, None] | (columns == columns.max())[None, :]
    radius = torch.hypot(rows[:, None], columns[None, :])
    ring = (radius >= RING[0]) & (radius <= RING[1])
    return power[edge].mean() / power[ring].mean().clamp_min(1e-30)


PROBE = Probe("checkerboard", checkerboard, 0.15, frozenset({"generator", "images"}))
