"""A soak that is stopped leaves no replica behind, however it was stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.soak.replica import ROOT

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc"),
    pytest.mark.timeout(180),
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_soak_that_is_stopped_leaves_no_replica(number: signal.Signals) -> None:
    soak = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak", "--minutes", "5"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert soak.stdout is not None
    folder = Path((await soak.stdout.readline()).decode().split()[-1])
    async with asyncio.timeout(60):
        while not all(is_serving(folder / f"replica-{n}.log") for n in range(3)):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)
    replicas = children(soak.pid)
    assert len(replicas) == 3
    os.kill(replicas[0], signal.SIGSTOP)
    soak.send_signal(number)
    async with asyncio.timeout(30):
        await soak.communicate()
        while any(map(is_alive, replicas)):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)


def is_serving(log: Path) -> bool:
    return log.exists() and "listening" in log.read_text()


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Say whether it runs or could: what nobody has waited for yet is gone as well."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
