"""A soak leaves no replica behind, however it is stopped, and sees what fits no question."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.soak.replica import ROOT
from tests.soak.verdict import matches
from tests.teams_double import Sent

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc"),
    pytest.mark.timeout(180),
]


_PARENT = """
import subprocess, sys, time
child = "from tests.soak.replica import die_with_parent as die; die(); print(flush=True); input()"
run = [sys.executable, "-c", child]
replica = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
replica.stdout.readline()
print(replica.pid, flush=True)
time.sleep(60)
"""


async def test_a_replica_dies_with_its_soak_even_while_it_is_paused() -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    replica = int(await parent.stdout.readline())
    os.kill(replica, signal.SIGSTOP)
    parent.kill()
    await gone(replica)
    await parent.communicate()


async def test_a_soak_that_is_stopped_leaves_no_replica() -> None:
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
    soak.terminate()
    assert await soak.wait() == 2
    await gone(*replicas)


async def gone(*replicas: int) -> None:
    async with asyncio.timeout(30):
        while any(map(is_alive, replicas)):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("said", "excused", "holds"),
    [
        ("q1-0 q1-1", "", True),
        ("q1-1 q1-0", "", False),
        ("q1-0", "", False),
        ("q1-0 q1-0 q1-1", "", False),
        ("q1-0 q1-0 q1-1", "0", True),
        ("q1-0 q1-1 q1-1", "0", False),
        ("down down", "0", True),
        ("down down down", "0", True),
        ("down down down", "", False),
        ("q1-0 down", "", True),
        ("q1-0 down down", "0", False),
        ("", "", False),
    ],
)
def test_what_is_an_answer_to_each_question_once_and_in_order(
    said: str, excused: str, holds: bool
) -> None:
    sent = [Sent(str(n), "a:chat", [{"text": text}]) for n, text in enumerate(said.split())]
    after = matches(["q1-0", "q1-1"], sent, set(excused))
    assert (2 in (after[-1] if after else {0})) == holds


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
