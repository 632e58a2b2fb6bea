"""Offers what an analyst can change on an incident: owner, severity, status, closing."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.act import CLOSED, MAX_CLOSING_CHARS, SEVERITIES, VERDICTS
from ..domain.incident import Incident
from ..domain.rendering import plain
from ._parts import Card, action_rows, card, execute, fitted, subtle, title


def acting(incident: Incident) -> list[Card]:
    """Make the buttons: a closed incident can be reopened, an open one all the rest."""
    if incident.status == CLOSED:
        return action_rows([_button("Reopen", incident, "reopen")])
    status = "New" if incident.status == "Active" else "Active"
    return action_rows(
        [
            _button("Assign to me", incident, "assign"),
            _form("Severity", _severities(incident), _button("Set severity", incident, "severity")),
            _button(f"Set to {status}", incident, status.lower()),
            _form("Close", _verdicts(), _button("Close incident", incident, "close")),
        ]
    )


def close_card(incident: Incident) -> Card:
    """Ask how an incident is to be closed."""

    def build(share: int) -> Card:
        body = [
            title(f"Close incident {incident.called}"),
            subtle(plain(incident.title, min(150, share)), spacing="none"),
            *_verdicts(),
        ]
        return card(body, [_button("Close incident", incident, "close")])

    return fitted(build)


def _button(label: str, incident: Incident, act: str) -> Card:
    ref = incident.ref
    return execute(
        label, {"verb": "act", "as": act, "workspace": ref.workspace, "incident": ref.id}
    )


def _form(label: str, inputs: Sequence[Card], button: Card) -> Card:
    return {"type": "Action.ShowCard", "title": label, "card": card(inputs, [button])}


def _severities(incident: Incident) -> list[Card]:
    field = _choice("severity", "Severity", [(each, each) for each in SEVERITIES])
    return [field | {"value": incident.severity} if incident.severity in SEVERITIES else field]


def _verdicts() -> list[Card]:
    """The pairs of classification and reason that Sentinel takes, and a comment."""
    pairs = [(verdict.words, key) for key, verdict in VERDICTS.items()]
    comment = {
        "type": "Input.Text",
        "id": "comment",
        "label": "Comment",
        "placeholder": "What was found, for whoever looks at this later",
        "maxLength": MAX_CLOSING_CHARS,
        "isMultiline": True,
    }
    return [_choice("verdict", "Classification and reason", pairs, style="expanded"), comment]


def _choice(id: str, label: str, choices: Sequence[tuple[str, str]], **style: str) -> Card:
    return {
        "type": "Input.ChoiceSet",
        "id": id,
        "label": label,
        "isRequired": True,
        "errorMessage": "Choose one.",
        "choices": [{"title": words, "value": value} for words, value in choices],
        **style,
    }
