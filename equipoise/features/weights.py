"""Where published weights come from: a path, a folder, a cache, or a download that was allowed.

Nothing is fetched unless the caller (`download=True`) or the user (`EQUIPOISE_DOWNLOAD=1`) says so.
Whatever the source, the sha256 is checked before a byte is read as weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from equipoise.errors import MissingWeightsError, WeightsError

FOLDER = "EQUIPOISE_WEIGHTS"  # environment: where weights are kept
CONSENT = "EQUIPOISE_DOWNLOAD"  # environment: "1" allows downloads
ATTEMPTS = 3
PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20  # bytes
ANY = "any"  # as sha256: take what the path holds, and record what it is


@dataclass(frozen=True)
class Weights:
    """A file of published weights.

    Attributes:
        name: the features it serves.
        url: where it is published.
        sha256: of the whole file; 64 hexadecimal digits.
        file: its name where we keep it.
        others: names under which other tools keep the same bytes.
        size: bytes, told before a download.
    """

    name: str
    url: str
    sha256: str
    file: str
    others: tuple[str, ...] = ()
    size: int | None = None


@dataclass(frozen=True)
class Found:
    """A file on this machine whose sha256 is known."""

    path: Path
    sha256: str
    published: bool  # the bytes that `Weights.sha256` names


def find(
    weights: Weights,
    path: str | os.PathLike[str] | None = None,
    *,
    sha256: str | None = None,
    download: bool | None = None,
) -> Found:
    """The file of `weights`: `path`, else the kept or cached one, else a download if allowed.

    Searched are `EQUIPOISE_WEIGHTS`, torch's hub cache and `~/.cache/clip`, for all names under
    which the field keeps the file. A file with another sha256 is passed over there, and named if
    nothing better is found; a download replaces it.

    Args:
        path: a file to take; nothing else is searched.
        sha256: what `path` must have instead of the published one: 8 to 64 hexadecimal digits, or
            "any" to take what is there (the sha256 is recorded all the same).
        download: True or False allow or forbid; None asks the environment.

    Raises:
        MissingWeightsError: nowhere, and no download is allowed.
        WeightsError: another sha256, or the download failed.
        ValueError: `sha256` is no such text, or is given without `path`.
    """
    if path is not None:
        return _given(weights, Path(path), sha256)
    if sha256 is not None:
        raise ValueError(f"sha256={sha256!r} goes with path=; the published file has its own")
    wrong = []
    for place in _places(weights):
        if place.is_file():
            found = digest(place)
            if found == weights.sha256:
                return Found(place, found, True)
            wrong.append(f"{place} (sha256 {found[:16]}..., another file or a part of it)")
    target = _target(weights)
    if not _allowed(download):
        raise MissingWeightsError(_missing(weights, target, wrong))
    fetch(weights, target)
    return Found(target, weights.sha256, True)


def fetch(weights: Weights, target: Path) -> None:
    """Download to `target`: whole and right, or not at all; several processes may do it at once.

    The bytes go to a file of their own beside `target`, which takes its place in one step when
    length and sha256 are right. Failures are tried again, ATTEMPTS times in all, except those
    that will not mend (status 4xx, no room, no permission).

    Raises:
        WeightsError: names the URL, the file, the target, the sha256 and what went wrong.
    """
    reason: Exception | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.parent):
            if target.is_file() and digest(target) == weights.sha256:
                return  # another process was first
            for attempt in range(ATTEMPTS):
                if attempt:
                    time.sleep(PAUSE * 2 ** (attempt - 1))
                try:
                    _download(weights, target)
                    return
                except _PASSING as error:
                    reason = error
                    if isinstance(error, urllib.error.HTTPError):
                        error.close()
                        if 400 <= error.code < 500:
                            break
    except OSError as error:
        reason = error
    raise WeightsError(
        f"cannot fetch the weights of {weights.name!r} from {weights.url} to {target}: {reason}"
        f" (sha256 {weights.sha256}); try again, or put the file there by hand"
    ) from reason


def digest(path: Path) -> str:
    """sha256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _WrongBytes(Exception):  # noqa: N818 - told as the reason of a WeightsError
    """The download ended early or is another file."""


# HTTPError and URLError are OSErrors, as is no room on the disk: `_download` tells them apart
_PASSING = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)
_PASSING += (_WrongBytes,)  # type: ignore[assignment]  # a longer tuple of the same kind


def _download(weights: Weights, target: Path) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    request = urllib.request.Request(weights.url, headers={"User-Agent": "equipoise"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as source, part.open("wb") as out:
            found, count = _copy(source, out)
            told = source.headers.get("Content-Length")
        if told is not None and int(told) != count:
            raise _WrongBytes(f"it ended after {count} of {told} bytes")
        if found != weights.sha256:
            raise _WrongBytes(f"{count} bytes came with sha256 {found}")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _copy(source: IO[bytes], out: IO[bytes]) -> tuple[str, int]:
    running, count = hashlib.sha256(), 0
    while block := source.read(CHUNK):
        running.update(block)
        out.write(block)
        count += len(block)
    return running.hexdigest(), count


def _given(weights: Weights, path: Path, sha256: str | None) -> Found:
    if sha256 not in (None, ANY) and not re.fullmatch(r"[0-9a-fA-F]{8,64}", str(sha256)):
        raise ValueError(
            f"sha256 is {sha256!r}: must be 8 to 64 hexadecimal digits, or 'any' for a file whose"
            " sha256 nobody published"
        )
    if not path.is_file():
        raise MissingWeightsError(
            f"path={str(path)!r} is no file; the weights of {weights.name!r} are {weights.file}"
            f" (sha256 {weights.sha256}) from {weights.url}"
        )
    found = digest(path)
    expected = weights.sha256 if sha256 is None else sha256.lower()
    if expected != ANY and not found.startswith(expected):
        raise WeightsError(
            f"{path} has sha256 {found}, expected {expected}: it is not the {weights.file}"
            f" published at {weights.url}, or a part of it; fetch it again, or pass"
            f" sha256='{found[:16]}' if these are the weights you mean (the features are then named"
            " after them)"
        )
    return Found(path, found, found == weights.sha256)


def _places(weights: Weights) -> Iterator[Path]:
    for folder in _folders():
        for name in (weights.file, *weights.others):
            yield folder / name


def _folders() -> list[Path]:
    own = os.environ.get(FOLDER)
    found = [Path(own).expanduser()] if own else []
    return [*found, _hub(), Path("~/.cache/clip").expanduser()]


def _hub() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _target(weights: Weights) -> Path:
    return _folders()[0] / weights.file


def _allowed(download: bool | None) -> bool:
    return os.environ.get(CONSENT, "") == "1" if download is None else download


def _missing(weights: Weights, target: Path, wrong: list[str]) -> str:
    size = f", {weights.size / 1e6:.0f} MB" if weights.size else ""
    passed = f" Passed over: {'; '.join(wrong)}." if wrong else ""
    folders = ", ".join(str(folder) for folder in _folders())
    return (
        f"the weights of {weights.name!r} are not on this machine: {weights.file} (sha256"
        f" {weights.sha256}{size}) in none of {folders}.{passed} Allow the download"
        f" (download=True, or {CONSENT}=1 in the environment), or fetch {weights.url} elsewhere and"
        f" put it to {target}, or pass path=; 'random_conv', 'patches' and 'pixels' need no weights"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time in `folder`, where the system can; the lock dies with its holder."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows: two may fetch, each to its own file; the last stays
        yield
        return
    try:
        with contextlib.suppress(OSError):  # a network folder without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def named(name: str, found: Found) -> str:
    """`name` for the published weights; "name_1234abcd" for others, which compare with nothing."""
    return name if found.published else f"{name}_{found.sha256[:8]}"
