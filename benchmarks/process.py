"""A bot in a process of its own: started, watched through /proc, stopped."""

from __future__ import annotations

import asyncio
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
    started: float  # seconds from the start of the process to the first answer at /healthz
    popen: subprocess.Popen[bytes]

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far, user and system, of all its threads."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self, name: str = "VmRSS") -> float:
        """MiB resident now (`VmRSS`), or at most so far (`VmHWM`)."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024

    async def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.popen.wait, 15)


async def start(
    http: aiohttp.ClientSession,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: Path,
    times: int = 3,
) -> Process:
    """Start a bot `times` times and keep the last; `started` is the median."""
    seconds: list[float] = []
    while True:
        process = await _start(http, command, environment, log)
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
    while True:
        try:
            async with http.get(f"{url}/healthz"):
                return Process(url, time.perf_counter() - began, popen)
        except aiohttp.ClientConnectionError:
            if popen.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                popen.kill()
                raise RuntimeError(f"a bot did not start:\n{_tail(log)}") from None
            await asyncio.sleep(0.005)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
