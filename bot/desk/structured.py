"""Asks the model for an object of a schema, and reads the lists in it leniently."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

from ..domain.budget import ANSWER_TOKENS
from ..errors import PromptFiltered
from ..ports import JsonObject, Structured
from .ask import Material, request, tamed
from .desk import Desk

log = logging.getLogger(__name__)


async def structured(
    desk: Desk, material: Material, question: str, name: str, schema: JsonObject
) -> Structured:
    """Ask for an object; once more with less where what we sent was filtered. Raises ModelError."""

    async def asked(material: Material) -> Structured:
        messages = request(desk, material, question)
        return await desk.model.structured(messages, name=name, schema=schema, limit=ANSWER_TOKENS)

    try:
        return await asked(material)
    except PromptFiltered as error:
        log.info("the prompt was filtered (%s); trying milder evidence", error.categories)
        answer = await asked(tamed(material))
        struck = (*answer.usage.shields, *error.categories)
        return replace(answer, usage=replace(answer.usage, shields=struck))


def entries(answer: Structured, name: str) -> list[JsonObject]:
    """The objects in the list `name` of an answer, those of its further choices after them."""
    lists = [data.get(name) for data in (answer.data, *answer.more)]
    found = [each for some in lists if isinstance(some, list) for each in cast(list[Any], some)]
    return [cast(JsonObject, each) for each in found if isinstance(each, dict)]
