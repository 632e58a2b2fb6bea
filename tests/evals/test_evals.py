"""The evaluation set, held: with the sandbox's model, and with another one over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

import prompts
from bot.kusto.checker import FOLDER
from bot.settings import Settings
from evals import report
from evals.case import Case, CaseError, read_cases
from evals.room import MORNING, Result, add, evaluate
from sandbox.run import model_address, workspace
from sandbox.world import load
from tests.azure.model_double import ModelDouble, says

ROOT = Path(__file__).parents[2]
RESULT = Result("a-case", "a-model", {"system": "abc"}, (), (), 900, 100, 0, 1.5, "It was stolen.")


def configured(base: str, store: str) -> Settings:
    return Settings.from_env({**workspace(base), **model_address(base), "STORE_URL": store})


@pytest.mark.timeout(120)
async def test_the_sandbox_passes_every_case_that_rules_can() -> None:
    cases = await asyncio.to_thread(read_cases)
    impossible = Case("impossible", "Not there.", "What happened?", 3177, must=("no such fact",))
    *results, failed = await evaluate([*cases, impossible], configured)
    wrong = [each for each in results if each.failures]
    assert not wrong, report.as_text(wrong, 0)
    assert failed.failures == ("must: no such fact is not in the answer",)
    assert len(results) == len([case for case in cases if not case.needs_model])
    assert all(each.prompt_tokens > 1_000 for each in results)
    queries = [each for each in results if each.query]
    assert len(queries) >= 10
    if FOLDER.is_dir():
        assert [each.notes for each in queries if each.notes] == []
    texts = await asyncio.to_thread(prompts.load)
    asked = {name: hash for each in results for name, hash in each.prompts.items()}
    words = ("system", "summary", "tasks", "tactics", "kql", "kql_tables", "handover")
    assert asked == {name: texts[name].hash for name in words}


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case("a", "A.", "hi", 1, must=("x",)), "a: the sandbox has no incident 1"),
        (Case("a", "A.", "hi", 3177, own={"number": 3177}), "has an incident 3177 already"),
        (Case("a", "A.", "hi", 9, own={"number": 9}), "incident.yaml lacks or misuses 'alerts'"),
    ],
)
def test_a_case_that_cannot_be_held(case: Case, said: str) -> None:
    with pytest.raises(CaseError, match=said):
        add(load(MORNING), case)


async def run(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evals", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


@pytest.mark.timeout(120)
async def test_another_model_and_other_prompts_are_measured_by_the_same_cases(
    tmp_path: Path,
) -> None:
    model = ModelDouble(says("It is Closed and Low [1]."), key="a-key")
    source = (ROOT / "prompts" / "system.md").read_text()
    (tmp_path / "system.md").write_text(f"{source}\nBe even briefer.\n")
    before = tmp_path / "before.json"
    before.write_text(report.as_json([replace(RESULT, case="3164-closed-as-benign")]))
    kept = tmp_path / "after.json"
    async with TestServer(model.app()) as server:
        code, out, errors = await run(
            *("--only", "3164-closed*", "--json", str(kept), "--against", str(before)),
            AZURE_OPENAI_BASE_URL=str(server.make_url("/openai/v1/")),
            AZURE_OPENAI_API_KEY="a-key",
            PROMPTS_DIR=str(tmp_path),
        )
    assert (code, errors) == (1, "")
    theirs = await asyncio.to_thread(prompts.load, tmp_path)
    ours = await asyncio.to_thread(prompts.load)
    assert theirs["system"].hash != ours["system"].hash
    assert out.startswith(f"gpt-5.4-mini-2026-03-17 · system {theirs['system'].hash}\n")
    assert "FAILED  3164-closed-as-benign" in out
    assert "must: Amira Haddad is not in the answer" in out
    assert "3164-closed-as-benign: 1 of 1 passed, now 0 of 1" in out
    assert "Be even briefer." in model.asked[0]["messages"][0]["content"]
    (kept_run,) = json.loads(kept.read_text())
    assert (kept_run["passed"], kept_run["text"]) == (False, "It is Closed and Low [1].")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "nobody"), "no case is called nobody"),
        (("--against", "not-there.json"), "No such file"),
        (("--cases", "docs"), "docs holds no case"),
    ],
)
async def test_what_cannot_be_held_is_said(arguments: tuple[str, ...], said: str) -> None:
    code, out, errors = await run(*arguments)
    assert (code, out) == (2, "") and said in errors and "Traceback" not in errors


def test_the_table_counts_by_prompt_and_model() -> None:
    failed = replace(RESULT, case="b", failures=("must: x is not in the answer",), notes=("why",))
    other = replace(RESULT, prompts={"system": "def"})
    assert report.as_text([other, RESULT, failed], 3.21).splitlines() == [
        "a-model · system abc",
        "  passed  a-case    1,000 tokens    1.5 s",
        "  FAILED  b         1,000 tokens    1.5 s",
        "          must: x is not in the answer",
        "          (why)",
        "  1 of 2 passed, 2,000 tokens",
        "",
        "a-model · system def",
        "  passed  a-case    1,000 tokens    1.5 s",
        "  1 of 1 passed, 1,000 tokens",
        "",
        "2 of 3 passed, 3,000 tokens in 3.2 s; 0 of the tokens were cached.",
    ]


def test_two_runs_are_compared_by_how_often_each_case_passed() -> None:
    failed = replace(RESULT, failures=("x",))
    before = report.as_json([RESULT, RESULT, replace(RESULT, case="same")])
    after = [RESULT, failed, replace(RESULT, case="same"), replace(RESULT, case="new")]
    changed = "Against the earlier run:\n  a-case: 2 of 2 passed, now 1 of 2"
    assert report.changes(before, after) == changed
    assert report.changes(before, [RESULT, RESULT]).endswith("nothing changed")
    with pytest.raises(ValueError, match="no results"):
        report.changes('{"a": 1}', after)
