"""How fast are logs read, and in how much memory? The mark: 1 GB in 60 s and 1 GiB.

    python -m benchmarks.log_speed [FORMAT ...] [--megabytes 100] [--keep FOLDER]

Each format is written out to the size asked for and read in a process of its own, so that the peak
is its own (the interpreter and numpy take some 40 MiB of it). Ends with 1 when a mark is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

SECONDS_PER_GB = 60.0
MOST_MIB = 1024.0
_BLOCK = 5000  # lines that are written at a time

Numbers = random.Random


def studiogan(i: int, r: Numbers) -> str:
    """A logger's lines, with an evaluation now and then."""
    stamp = (
        f"2020-09-{i // 86400 % 28 + 1:02d} {i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}"
    )
    line = (
        f"[INFO] {stamp} > Step: {i * 100} Progress: {i % 100}% Elapsed: {i // 3600}:"
        f"{i // 60 % 60:02d}:{i % 60:02d} Temperature: N/A Ada_p: N/A"
        f" Discriminator_loss: {r.gauss(0.5, 0.2):.5f}"
        f" Generator_loss: {r.gauss(1, 0.5):.5f}\n"
    )
    if i % 500 == 499:
        line += (
            f"[INFO] {stamp} > FID score (Step: {i * 100}, Using test moments): {r.random() * 50}\n"
        )
    return line


def tutorial(i: int, r: Numbers) -> str:
    """The DCGAN tutorial's lines."""
    epoch, batch = divmod(i, 1583)
    return (
        f"[{epoch}/5000][{batch}/1583]\tLoss_D: {r.random():.4f}\tLoss_G: {r.random() * 9:.4f}"
        f"\tD(x): {r.random():.4f}\tD(G(z)): {r.random():.4f} / {r.random():.4f}\n"
    )


def progress(i: int, r: Numbers) -> str:
    """A progress bar that rewrites its line."""
    epoch, batch = divmod(i, 1000)
    bar = "#" * (batch // 100)
    return (
        f"\rEpoch {epoch}: {batch // 10:3d}%|{bar:<10}| {batch}/1000 [{batch // 60:02d}:"
        f"{batch % 60:02d}<00:37, {r.random() * 20:.2f}it/s,"
        f" d_loss={r.gauss(0, 1):.3g}, g_loss={r.random():.3f}]"
    )


def two_lines(i: int, r: Numbers) -> str:
    """One line per player, and one of no interest."""
    return (
        f"iter {i}: D loss = {r.gauss(0, 1):.6f}, acc = {100 * r.random():.1f}%\n"
        f"iter {i}: G loss = {r.gauss(0, 1):.6f}\nsaved images/{i:07d}.png in {r.random():.2f}s\n"
    )


def table(i: int, r: Numbers) -> str:
    """CSV."""
    head = "epoch,step,d_loss,g_loss,note\n" if i == 0 else ""
    return f"{head}{i // 1000},{i},{r.gauss(0, 1)},{r.random()},ok\n"


def objects(i: int, r: Numbers) -> str:
    """JSON lines."""
    row = {"_step": i, "_runtime": i / 3, "train/d_loss": r.gauss(0, 1), "train/g_loss": r.random()}
    return json.dumps(row) + "\n"


FORMATS: dict[str, Callable[[int, Numbers], str]] = {
    f.__name__: f for f in (studiogan, tutorial, progress, two_lines, table, objects)
}


def write(name: str, megabytes: int, path: Path) -> None:
    """A log of that size, the same every time."""
    numbers = random.Random(0)
    with open(path, "w", encoding="utf-8", newline="") as file:
        i = 0
        while file.tell() < megabytes * 1_000_000:
            file.writelines(FORMATS[name](k, numbers) for k in range(i, i + _BLOCK))
            i += _BLOCK


def read(path: Path) -> tuple[float, float, int]:
    """Seconds, peak MiB and readings of one log."""
    from equipoise.logs import read_log

    start = time.perf_counter()
    trace = read_log(path)
    seconds = time.perf_counter() - start
    readings = sum(len(series) for series in trace.signals.values())
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, readings


def measured(names: list[str], megabytes: int, folder: Path) -> Iterator[tuple[str, float, float]]:
    """Format, seconds per GB and peak MiB, printed as they come."""
    context = multiprocessing.get_context("spawn")
    for name in names:
        path = folder / f"{name}.{'csv' if name == 'table' else 'log'}"
        if not path.exists():
            write(name, megabytes, path)
        size = path.stat().st_size / 1e6
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            seconds, peak, readings = pool.submit(read, path).result()
        pace = 1000 * seconds / size
        print(
            f"{name:10} {size:6.0f} MB in {seconds:6.1f} s  {size / seconds:6.1f} MB/s"
            f"  {pace:5.0f} s per GB  peak {peak:5.0f} MiB  {readings} readings",
            flush=True,
        )
        yield name, pace, peak


def main() -> int:
    """Parse, write, read, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_speed", description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="folder where the logs stay for another time")
    options = parser.parse_args()
    strangers = set(options.formats) - set(FORMATS)
    if strangers:
        parser.error(f"no format {', '.join(sorted(strangers))} (there are {', '.join(FORMATS)})")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = list(measured(options.formats or list(FORMATS), options.megabytes, folder))
    missed = [name for name, pace, peak in rows if pace > SECONDS_PER_GB or peak > MOST_MIB]
    print(f"missed: {', '.join(missed)}" if missed else "every mark is reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
