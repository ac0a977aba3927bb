"""The command line in processes that can be killed.

They are forked from a server that has torch in memory, since importing it takes seconds; each is a
process of its own with `equipoise.cli.main` as its whole life.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from pathlib import Path

from equipoise.recipe import Recipe, dump

PATIENCE = 120  # seconds for anything to happen on a busy machine
HEAVY = ["lightning_fabric", "safetensors.torch", "sklearn.datasets", "equipoise.trial"]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([*HEAVY, "equipoise.cli.app", "equipoise.cli.play"])


def _live(arguments, pipe, limit, setup):
    os.dup2(pipe.fileno(), 1)
    os.dup2(pipe.fileno(), 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - until the process ends
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - likewise
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if setup is not None:
        setup()
    sys.argv = ["equipoise", *map(str, arguments)]
    from equipoise.cli import main

    main()


class Command:
    """`equipoise ARGUMENTS` under way; `limit` is the largest file in bytes that it may write."""

    def __init__(self, *arguments, limit=None, setup=None):
        self.reader, writer = _server.Pipe(duplex=False)
        self.process = _server.Process(target=_live, args=(arguments, writer, limit, setup))
        self.process.start()
        writer.close()

    def signal(self, kind):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, kind)

    def wait(self) -> tuple[int, str]:
        """Exit code (negative: the signal that killed it) and everything that it printed."""
        said = b""
        while chunk := os.read(self.reader.fileno(), 1 << 16):
            said += chunk
        self.process.join(PATIENCE)
        code = self.process.exitcode
        assert code is not None, f"still running; it said: {said.decode()}"
        self.process.close()
        self.reader.close()
        return code, said.decode()

    def kill(self) -> int:
        """Kill it with -9 and return its exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()[0]


def equipoise(*arguments, limit=None) -> tuple[int, str]:
    """Run a command to its end."""
    return Command(*arguments, limit=limit).wait()


def die_after(name: str) -> None:
    """Let this process kill itself with -9 once `equipoise.training.run.NAME` has returned."""
    import equipoise.training.run as module

    function = getattr(module, name)

    def last(*arguments, **named):
        function(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, last)


def train_arguments(recipe: Recipe, folder: Path, run_dir: Path) -> list:
    """The command line that trains `recipe`, whose file goes to `folder`."""
    file = folder / "recipe-to-train.yaml"
    file.write_text(dump(recipe))
    return ["train", file, "--run-dir", run_dir, "--no-progress"]


def until(condition, *, every=0.002):
    """Wait for `condition()`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(every)
