"""What was asked of the sandbox model: the question, what came before, and the evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from prompts.playbook import Playbook, PlaybookTask
from prompts.reading import read_yaml

from .exhibits import CaseEvidence

Phrases = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with all that may be used to answer it.

    `earlier` is (question, answer) pairs, `messages` the whole conversation as (role, text).
    """

    question: str
    earlier: tuple[tuple[str, str], ...]
    evidence: CaseEvidence
    playbook: Playbook
    phrases: Phrases
    messages: tuple[tuple[str, str], ...] = ()

    @property
    def language(self) -> str:
        """The question's language (`en`, `de`, `fr` or `es`), English when in doubt.

        A prepared question asks for the language of the analyst's own ones.
        """
        text = self.question
        if self.earlier and "language of my earlier questions" in text:
            text = self.earlier[-1][0]
        words = set(re.findall(r"[^\W\d_]+", text.lower()))
        return max(self.phrases, key=lambda name: len(words & set(self.phrases[name]["words"])))

    def say(self, phrase: str, **values: object) -> str:
        """A phrase in the question's language."""
        return str(self.phrases[self.language][phrase]).format(**values)

    @property
    def tasks(self) -> tuple[PlaybookTask, ...]:
        """The playbook's steps with names filled in, without those the incident has already."""
        there = {task.text("title", 150).casefold() for task in self.evidence.of("task")}
        steps = self.playbook.tasks(self.evidence.tactics)
        names = self.evidence.names
        return tuple(task.filled(names) for task in steps if task.title.casefold() not in there)


def read_phrases() -> Phrases:
    """Read what the sandbox model says, in all its languages (blocking)."""
    text = Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8")
    return cast(Phrases, read_yaml(text))
