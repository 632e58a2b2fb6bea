"""`python -m evals` holds every case with the model of the environment, and says how it went.

Without AZURE_OPENAI_BASE_URL the sandbox's model answers, and cases that need a real one are left
out. The exit code is 1 where a case failed, and 2 where none could be held.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bot import redaction
from bot.errors import CasemateError
from evals import report
from evals.case import CASES, Case, CaseError, read_cases
from evals.room import evaluate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the arguments say; the exit code says how it went."""
    parser = argparse.ArgumentParser(prog="evals", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="cases of this name; * stands for anything")
    parser.add_argument("--cases", type=Path, default=CASES, help="a folder of cases of your own")
    parser.add_argument("--times", type=int, default=1, help="how often each case is held")
    parser.add_argument("--at-once", type=int, default=4, help="how many are held side by side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results and answers")
    parser.add_argument("--against", type=Path, metavar="FILE", help="an earlier --json, compared")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s")
    redaction.install()
    try:
        before = chosen.against.read_text("utf-8") if chosen.against else ""
        cases = _named(read_cases(chosen.cases), chosen.only or "*")
        started = time.monotonic()
        times, at_once = max(1, chosen.times), max(1, chosen.at_once)
        results = asyncio.run(evaluate(cases, times=times, at_once=at_once))
        print(report.as_text(results, time.monotonic() - started))
        if chosen.json:
            chosen.json.write_text(report.as_json(results), "utf-8")
        if before:
            print(report.changes(before, results))
    except (CaseError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except CasemateError as error:
        print(error.sentence, file=sys.stderr)
        return 2
    return 0 if all(each.passed for each in results) else 1


def _named(cases: Sequence[Case], name: str) -> tuple[Case, ...]:
    found = tuple(case for case in cases if fnmatch.fnmatchcase(case.name, name))
    if not found:
        raise CaseError(f"no case is called {name}")
    return found


if __name__ == "__main__":
    sys.exit(main())
