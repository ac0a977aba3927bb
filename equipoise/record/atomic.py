"""Files that are either whole or absent, and one holder per run directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from equipoise.errors import RecordError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well it takes `path`'s place.

    The data is on disk before the name changes, so a reader (or a kill at any moment) sees the old
    file or the new one. If the block fails the temporary file is removed.

    Raises:
        RecordError: the file system refused (full, read-only, too large).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _synchronize(temporary)
        os.replace(temporary, path)
        _synchronize(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def sweep_temporaries(folder: Path) -> int:
    """Remove what writers that were killed left in `folder`; return how many files went."""
    leftovers = [p for p in folder.rglob(".*.tmp") if p.is_file()]
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)


def unwritable(path: Path, error: OSError) -> RecordError:
    """One line for a write that the file system refused."""
    return RecordError(
        f"cannot write {path}: {error.strerror or error}; free some space or choose another place"
        " (what was complete before is kept)"
    )


def _synchronize(path: Path) -> None:
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) if path.is_dir() else os.O_RDWR
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Lock:
    """Exclusive use of a run directory; the operating system frees it when the holder dies."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock at once or not at all.

        Raises:
            RecordError: another process holds it, or the file system refused.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115 - held until release
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            _lock_now(file)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise RecordError(
                f"run directory {self.path.parent} is in use by process {holder};"
                " wait for it, stop it, or give another run_dir"
            ) from error
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError as error:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # what was not written is tried again on closing
                file.close()
            raise unwritable(self.path, error) from error
        self._file = file

    def release(self) -> None:
        """Give the directory free; doing so twice does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock_now(file: IO[str]) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows alone has it
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
