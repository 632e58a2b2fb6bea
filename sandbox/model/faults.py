"""What the sandbox model does wrong on request, by a word in the last question."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from .parameters import error
from .wire import SAFE

# `silent` to `link` are not refusals: sandbox/openai.py acts on them.
FAULTS = {
    "filter": "400, the content filter blocks what was sent",
    "filter-answer": "the content filter stops the answer half-way",
    "429": "429, to be tried again after 45 s",
    "429-short": "429 with one second to wait, then an answer",
    "context": "400, the request does not fit the model",
    "refused": "404, there is no such deployment",
    "down": "503",
    "silent": "never answers",
    "stall": "begins an answer, then falls silent",
    "cut": "the answer ends half-way, without saying so",
    "empty": "an answer without text",
    "malformed": "structured answers are not JSON",
    "slow": "a long answer with 0.4 s between its pieces",
    "long": "an answer of about 60,000 characters, whatever the limit",
    "link": "an answer with links, images, HTML, hidden characters and a mention",
}
# Words without a mark, for a question that asks for a query: they hold through its repair rounds.
QUERY_FAULTS = {
    "misspelt column": "the first query has a wrong column name; told so, the model mends it",
    "hopeless": "the query has a wrong column name in every round",
    "fenced": "prose and a fenced block in place of JSON",
    "foreign workspace": "the query reads another workspace",
}
LINKS = (
    "A [link](https://evil.example/steal?q=1), an ![image](https://evil.example/pixel.png), a bare "
    "https://evil.example/path and <https://evil.example/auto>, [by reference][r].\n\n"
    '<b onclick="alert(1)">HTML</b> <img src="https://evil.example/p.png"> <at>Everyone</at> '
    "[script](javascript:alert(1))\n\nZero width: in\u200bvi\u2060sible\ufeff. "
    "Bidirectional: \u202egpj.exe\u202c \u2066end\u2069.\n\n[r]: https://evil.example/reference\n"
)
_WORD = re.compile(r"\bsandbox:([a-z0-9-]+)|\bsandbox (help)\b", re.IGNORECASE)


def fault(question: str) -> tuple[str, str]:
    """Part a question from its fault word: ('what happened?', 'slow').

    The word is empty where there is none, and `help` for one that is not known.
    """
    found = _WORD.search(question)
    if not found:
        return question, ""
    word = (found[1] or found[2]).lower()
    return _WORD.sub(" ", question).strip(), word if word in FAULTS else "help"


def query_fault(question: str) -> str:
    """The words in a question that make its query wrong; empty where there are none."""
    return next((words for words in QUERY_FAULTS if words in question.lower()), "")


def refusal(word: str, model: str) -> web.Response | None:
    """The response of a fault that is an HTTP error; None for every other word."""
    match word:
        case "429" | "429-short":
            return _busy(model, 45 if word == "429" else 1)
        case "filter":
            return web.json_response(_filtered(), status=400)
        case "context":
            message = "Your input exceeds the context window of this model."
            body = error(message, "messages", "context_length_exceeded")
            return web.json_response(body, status=400)
        case "refused":
            message = "The API deployment for this resource does not exist."
            body = {"error": {"code": "DeploymentNotFound", "message": message}}
            return web.json_response(body, status=404)
        case "down":
            body = {"error": {"code": "503", "message": "The service is temporarily unavailable."}}
            return web.json_response(body, status=503)
        case _:
            return None


def _busy(model: str, seconds: int) -> web.Response:
    message = (
        f"Your requests to {model} have exceeded the token rate limit of the sandbox. "
        f"Please retry after {seconds} seconds."
    )
    headers = {
        "retry-after": str(seconds),
        "retry-after-ms": str(seconds * 1000),
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-remaining-tokens": "0",
    }
    body = {"error": {"code": "429", "message": message}}
    return web.json_response(body, status=429, headers=headers)


def _filtered() -> dict[str, Any]:
    body = error(
        "The response was filtered due to the prompt triggering Azure OpenAI's content "
        "management policy. Please modify your prompt and retry.",
        "prompt",
        "content_filter",
    )
    body["error"] |= {
        "type": None,
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {**SAFE, "jailbreak": {"filtered": True, "detected": True}},
        },
    }
    return body
