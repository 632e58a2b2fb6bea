"""Words how the cases went: a table for each set of prompts and model that answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from evals.room import Result


def as_text(results: Sequence[Result], seconds: float) -> str:
    """The tables, and a last line that says how many passed, at what cost and in what time."""
    groups: dict[str, list[Result]] = {}
    for each in results:
        groups.setdefault(_headed(each), []).append(each)
    tables = [_table(head, groups[head]) for head in sorted(groups)]
    cached = sum(each.cached_tokens for each in results)
    total = f"{_counted(results)} in {seconds:.1f} s; {cached:,} of the tokens were cached."
    return "\n\n".join([*tables, total])


def as_json(results: Iterable[Result]) -> str:
    """Every run of every case, with what was answered, for a program or for `changes`."""
    runs = [{"passed": each.passed, **asdict(each)} for each in results]
    return json.dumps(runs, ensure_ascii=False, indent=1) + "\n"


def changes(before: str, results: Sequence[Result]) -> str:
    """Which cases go otherwise than in an earlier run's JSON. Raises ValueError."""
    try:
        then = _rates((str(each["case"]), bool(each["passed"])) for each in json.loads(before))
    except (KeyError, TypeError) as error:
        raise ValueError("these are no results of evals") from error
    now = _rates((each.case, each.passed) for each in results)
    both = sorted(then.keys() & now.keys())
    lines = [f"  {name}: {then[name]} passed, now {now[name]}" for name in both]
    moved = [line for line, name in zip(lines, both, strict=True) if then[name] != now[name]]
    return "\n".join(["Against the earlier run:", *(moved or ["  nothing changed"])])


def _rates(runs: Iterable[tuple[str, bool]]) -> Mapping[str, str]:
    found: dict[str, list[bool]] = {}
    for name, passed in runs:
        found.setdefault(name, []).append(passed)
    return {name: f"{sum(each)} of {len(each)}" for name, each in found.items()}


def _headed(result: Result) -> str:
    prompts = ", ".join(f"{name} {hash}" for name, hash in result.prompts.items())
    return f"{result.model} · {prompts}"


def _table(head: str, results: Sequence[Result]) -> str:
    width = max(len(each.case) for each in results)
    lines = [head]
    for each in results:
        tokens = each.prompt_tokens + each.completion_tokens
        verdict = "passed" if each.passed else "FAILED"
        lines.append(
            f"  {verdict}  {each.case:<{width}}  {tokens:>7,} tokens  {each.seconds:5.1f} s"
        )
        lines += [f"          {failure}" for failure in each.failures]
        lines += [f"          ({note})" for note in each.notes]
    return "\n".join([*lines, f"  {_counted(results)}"])


def _counted(results: Sequence[Result]) -> str:
    tokens = sum(each.prompt_tokens + each.completion_tokens for each in results)
    return f"{sum(each.passed for each in results)} of {len(results)} passed, {tokens:,} tokens"
