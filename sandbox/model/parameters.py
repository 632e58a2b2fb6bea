"""Refuses what a GPT-5 deployment refuses, with the same error bodies.

The rules are Azure OpenAI's for reasoning models (docs: how-to/reasoning, structured outputs):
most tuning parameters of older models are errors here, not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_FORMATS = ("text", "json_object", "json_schema")

# What older models took and these do not; the default value alone is let through.
_FIXED: Mapping[str, object] = {"temperature": 1, "top_p": 1, "n": 1}
_UNSUPPORTED: Mapping[str, object] = {
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "top_logprobs": None,
    "logit_bias": None,
    "stop": None,
}
_KNOWN = {
    "messages",
    "model",
    "stream",
    "stream_options",
    "max_completion_tokens",
    "reasoning_effort",
    "verbosity",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "seed",
    "service_tier",
    "store",
    "metadata",
    "user",
}


def error(message: str, param: str | None, code: str | None) -> dict[str, Any]:
    """The body of a 400 as OpenAI writes it."""
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def problem(body: object) -> dict[str, Any] | None:
    """The error body for a request that the service would refuse, or None."""
    if not isinstance(body, dict):
        return error("We could not parse the JSON body of your request.", None, None)
    request = cast(dict[str, Any], body)
    return (
        _tuning(request)
        or _required(request)
        or _messages(request["messages"])
        or _options(request)
        or _format(request.get("response_format"))
    )


def _tuning(request: dict[str, Any]) -> dict[str, Any] | None:
    for name, value in request.items():
        if name == "max_tokens":
            return error(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                name,
                "unsupported_parameter",
            )
        if name in _UNSUPPORTED and value is not None and value != _UNSUPPORTED[name]:
            return error(
                f"Unsupported parameter: '{name}' is not supported with this model.",
                name,
                "unsupported_parameter",
            )
        if name in _FIXED and value is not None and value != _FIXED[name]:
            return error(
                f"Unsupported value: '{name}' does not support {value} with this model. "
                "Only the default (1) value is supported.",
                name,
                "unsupported_value",
            )
        if name not in _KNOWN and name not in _UNSUPPORTED and name not in _FIXED:
            return error(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    return None


def _required(request: dict[str, Any]) -> dict[str, Any] | None:
    for name in ("model", "messages"):
        if not request.get(name):
            return error(
                f"Missing required parameter: '{name}'.", name, "missing_required_parameter"
            )
    return None


def _messages(messages: object) -> dict[str, Any] | None:
    if not isinstance(messages, list):
        return error("Invalid type for 'messages': expected an array.", "messages", "invalid_type")
    roles: set[str] = set()
    for index, each in enumerate(cast(list[Any], messages)):
        where = f"messages[{index}]"
        message = cast(dict[str, Any], each) if isinstance(each, dict) else {}
        role = message.get("role")
        if role not in ROLES:
            supported = ", ".join(f"'{name}'" for name in ROLES)
            return error(
                f"Invalid value: '{role}'. Supported values are: {supported}.",
                f"{where}.role",
                "invalid_value",
            )
        if not isinstance(message.get("content"), str | list):
            return error(
                f"Invalid type for '{where}.content': expected a string or an array.",
                f"{where}.content",
                "invalid_type",
            )
        roles.add(role)
    if {"system", "developer"} <= roles:
        return error(
            "Use either the system or the developer role in a request, not both.",
            "messages",
            "invalid_value",
        )
    return None


def _options(request: dict[str, Any]) -> dict[str, Any] | None:
    limit = request.get("max_completion_tokens")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        return error(
            "Invalid 'max_completion_tokens': expected an integer of at least 1.",
            "max_completion_tokens",
            "integer_below_min_value",
        )
    for name, values in (
        ("reasoning_effort", _EFFORTS),
        ("verbosity", ("low", "medium", "high")),
    ):
        if request.get(name) is not None and request[name] not in values:
            supported = ", ".join(f"'{value}'" for value in values)
            return error(
                f"Invalid value: '{request[name]}'. Supported values are: {supported}.",
                name,
                "invalid_value",
            )
    if request.get("stream_options") is not None and request.get("stream") is not True:
        return error(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
            None,
        )
    return None


def _format(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    wanted = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    kind = wanted.get("type")
    if kind not in _FORMATS:
        supported = ", ".join(f"'{name}'" for name in _FORMATS)
        return error(
            f"Invalid value: '{kind}'. Supported values are: {supported}.",
            "response_format.type",
            "invalid_value",
        )
    if kind != "json_schema":
        return None
    given: object = wanted.get("json_schema")
    outer = cast(dict[str, Any], given) if isinstance(given, dict) else {}
    for name in ("name", "schema"):
        if not outer.get(name):
            param = f"response_format.json_schema.{name}"
            return error(
                f"Missing required parameter: '{param}'.", param, "missing_required_parameter"
            )
    fault = _strictness(outer["schema"], ()) if outer.get("strict") else None
    if fault:
        return error(
            f"Invalid schema for response_format '{outer['name']}': {fault}",
            "response_format",
            None,
        )
    return None


def _strictness(schema: object, path: tuple[str, ...]) -> str | None:
    """What a strict schema lacks: every object is closed and requires all its properties."""
    if not isinstance(schema, dict):
        return None
    node = cast(dict[str, Any], schema)
    if node.get("type") == "object":
        properties = cast(dict[str, Any], node.get("properties") or {})
        if node.get("additionalProperties") is not False:
            return f"In context={path}, 'additionalProperties' is required to be false."
        if set(node.get("required") or ()) != set(properties):
            return f"In context={path}, 'required' is required to name every key in properties."
        for name, each in properties.items():
            if fault := _strictness(each, (*path, "properties", name)):
                return fault
    return _strictness(node.get("items"), (*path, "items"))
