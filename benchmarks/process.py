"""A bot in a process of its own: started, watched through /proc, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

_TICK = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 20.0


@dataclass
class Process:
    """A bot that serves at `url`."""

    url: str
    started: float  # seconds from the start of the process until it is ready
    popen: subprocess.Popen[bytes]

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far, user and system, of all its threads."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self, name: str = "Rss") -> float:
        """MiB resident (`Rss`), or with what it shares counted by its part (`Pss`)."""
        rollup = Path(f"/proc/{self.popen.pid}/smaps_rollup").read_text()
        line = next(line for line in rollup.splitlines() if line.startswith(name + ":"))
        return int(line.split()[1]) / 1024

    async def stop(self) -> None:
        """End it, by force where it does not go within fifteen seconds."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.popen.wait, 15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            await asyncio.to_thread(self.popen.wait)


async def start(
    http: aiohttp.ClientSession,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: Path,
    times: int = 3,
    ready: str = "/healthz",
) -> Process:
    """Start a bot `times` times and keep the last; `started` is the median.

    Raises RuntimeError where it does not say at `ready` that it is.
    """
    seconds: list[float] = []
    while True:
        process = await _start(http, command, environment, log, ready)
        seconds.append(process.started)
        if len(seconds) == times:
            process.started = statistics.median(seconds)
            return process
        await process.stop()


async def _start(
    http: aiohttp.ClientSession,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: Path,
    ready: str,
) -> Process:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.perf_counter()
    with log.open("wb") as output:
        popen = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs meanwhile
            command,
            env={"PATH": os.environ["PATH"], **environment, "PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    process = Process(url, 0.0, popen)
    while popen.poll() is None and time.perf_counter() - began < _START_SECONDS:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with http.get(url + ready) as answer:
                if answer.status == 200:
                    process.started = time.perf_counter() - began
                    return process
        await asyncio.sleep(0.005)
    popen.kill()
    raise RuntimeError(f"a bot did not start:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
