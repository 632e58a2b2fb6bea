"""One replica in a process of its own: `python -m tests.soak.replica SKEW`, as `app.py` runs it.

The application is `app.py`'s own; only its clock is `SKEW` seconds off, and 45 seconds further, or
back again, at each SIGUSR1. Nothing else could set the clock of one process.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from app import application
from bot import commands
from bot.clock import SystemClock
from bot.opening import trail
from bot.settings import Settings
from tests.faults import SkewedClock

ROOT = Path(__file__).parents[2]
JUMP = 45.0
# Root could write what is read-only.
_AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override")


class Replica:
    """A process that is started, killed, paused and started again; what it logs goes to a file."""

    def __init__(self, name: str, environment: Mapping[str, str], skew: float, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.name, self.url, self.log = name, f"http://127.0.0.1:{self._port}", log
        self.paused = False
        self._environment, self._skew = environment, skew
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, http: ClientSession) -> int | None:
        """Start and wait until it serves; the exit code where it ends instead."""
        prefix = _AS_ANYBODY if os.geteuid() == 0 and shutil.which("setpriv") else ()
        command = (*prefix, sys.executable, "-m", "tests.soak.replica", str(self._skew))
        self._process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**self._environment, "PORT": str(self._port)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        # Through a pipe: a process that may write no file may still say so.
        self._reading = asyncio.create_task(self._read(self._process))
        while self.alive:
            try:
                async with http.get(f"{self.url}/healthz", timeout=ClientTimeout(2)):
                    return None
            except (ClientError, TimeoutError):
                await asyncio.sleep(0.05)
        return self._process.returncode

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with self.log.open("ab", buffering=0) as file:
            while line := await process.stdout.readline():
                file.write(line)

    def send(self, number: signal.Signals) -> None:
        if self.alive:
            os.kill(self.pid, number)
            self.paused = number == signal.SIGSTOP or (self.paused and number != signal.SIGCONT)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal that ends it, and wait for that."""
        assert self._process is not None
        self.send(number)
        if self.paused:
            self.send(signal.SIGCONT)
        code = await self._process.wait()
        self.paused = False
        if self._reading is not None:
            await self._reading
        return code


def die_with_parent() -> None:
    """Have Linux kill this process once its soak has gone, however that ended: see prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> int:
    die_with_parent()
    clock = SkewedClock(SystemClock(), float(sys.argv[1]))

    def jump(*_: object) -> None:
        clock.skew += JUMP if clock.skew < JUMP / 2 else -JUMP

    async def build(settings: Settings) -> web.Application:
        signal.signal(signal.SIGUSR1, jump)
        return await application(settings, clock)

    return commands.run(build, lambda _: 2, trail, [])


if __name__ == "__main__":
    sys.exit(main())
