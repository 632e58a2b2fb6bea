"""Run the sandbox's Teams-like client beside the bot, and stop it when the bot stops.

The client is Microsoft 365 Agents Playground. `npm ci --ignore-scripts` in this folder installs
it, under its own licence (for evaluation); it is no part of Casemate. Where it cannot start, this
says why in one sentence and ends: the bot runs without it.

    python client/start.py [--bot http://127.0.0.1:3978/api/messages] [--port 56150]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "node_modules/@microsoft/m365agentsplayground/cli.js"
CONFIGURATION = HERE / ".m365agentsplayground.yml"
OLDEST_NODE = 20


def what_is_missing(node: str | None, program: Path, port: int) -> str:
    """Say why the client cannot start here and what to do, or nothing."""
    if node is None:
        return f"Node.js {OLDEST_NODE} or later is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()  # noqa: S603 - the node on PATH
    if not version.startswith("v") or int(version[1:].split(".")[0]) < OLDEST_NODE:
        return f"it needs Node.js {OLDEST_NODE} or later, and this is {version or 'broken'}"
    if not program.is_file():
        return "it is not installed: run `npm ci --ignore-scripts` in client/"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            # The client would take a random port instead, and nobody would know which.
            return f"port {port} is taken: choose another with --port"
    return ""


def environment(scratch: Path, inherited: dict[str, str]) -> dict[str, str]:
    """The client's environment: nothing sent to Microsoft, loopback only, no browser opened.

    `scratch` gets stand-ins for the commands that open a browser: the client has no option for
    that, and dies where they are missing (seen with 0.2.28).
    """
    for name in ("xdg-open", "open"):
        stand_in = scratch / name
        stand_in.write_text("#!/bin/sh\nexit 0\n")
        stand_in.chmod(0o700)
    return inherited | {
        # Without this the client reports its use even with telemetry disabled (seen with 0.2.28).
        "APPLICATION_INSIGHTS_NO_STATSBEAT": "1",
        "NODE_OPTIONS": f"--require={(HERE / 'loopback.cjs').as_posix()}",
        "PATH": f"{scratch}{os.pathsep}{inherited.get('PATH', '')}",
    }


def arguments(node: str, program: Path, bot: str, port: int) -> list[str]:
    """The command line of a client that shows the bot as Teams would."""
    return [
        *(node, str(program), "start", "--app-endpoint", bot, "--channel-id", "msteams"),
        *("--port", str(port), "--service-url", f"http://127.0.0.1:{port}/_connector"),
        "--disable-telemetry",
    ]


def run(command: Sequence[str], environ: dict[str, str], folder: Path) -> int:
    """Run the client in `folder` until it ends or our parent does; return its exit code."""
    parent = os.getppid()
    client = subprocess.Popen(  # noqa: S603 - our own command line
        command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        while os.getppid() == parent:
            try:
                return client.wait(timeout=1)
            except subprocess.TimeoutExpired:
                continue
        return 0
    finally:
        client.terminate()
        client.wait()


def complaint(folder: Path) -> str:
    """What the client wrote about its own failure, from the log it keeps where it runs."""
    log = folder / "devTools/m365agentsplayground.log"
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    errors = [line.removeprefix("error ") for line in lines if line.startswith("error ")]
    return " ".join(errors) or "It gave no reason."


def _leave(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Start the client, or say why not; a missing client is not an error."""
    parser = argparse.ArgumentParser(description="Run the Teams-like client beside the bot.")
    parser.add_argument("--bot", default="http://127.0.0.1:3978/api/messages")
    parser.add_argument("--port", type=int, default=56150)
    options = parser.parse_args(argv)
    node = shutil.which("node")
    reason = what_is_missing(node, PROGRAM, options.port)
    if node is None or reason:
        print(f"The Teams-like client does not start: {reason}. The bot runs without it.")
        return 0
    signal.signal(signal.SIGTERM, _leave)
    with tempfile.TemporaryDirectory(prefix="casemate-client-") as scratch:
        folder = Path(scratch)
        # The client reads its configuration, and writes a log, where it runs.
        shutil.copy(CONFIGURATION, folder)
        print(f"Teams-like client: http://127.0.0.1:{options.port}", flush=True)
        try:
            code = run(
                arguments(node, PROGRAM, options.bot, options.port),
                environment(folder, dict(os.environ)),
                folder,
            )
        except KeyboardInterrupt:
            return 0
        if code:
            print(f"The Teams-like client stopped. {complaint(folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
