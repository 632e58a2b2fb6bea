"""Finds text in the evidence that is addressed to an AI assistant, so that the card can say so.

This is a warning to the analyst, not the defence: that is the fence, the rules in the system text,
and that nothing is written without a click. A warning that cries wolf is not read, so each rule
asks for more than a word that an ordinary alert may hold.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from .evidence import Evidence
from .rendering import folded

_AI = (
    r"(?:ais?|llms?|copilots?|chatbots?|(?:large )?language models?|ai (?:agent|model|system)s?"
    r"|(?:(?:ai|virtual|digital|security|soc) )?assistants?)"
)
_CASE = r"(?:incident|alert|case|activity)"
_VERDICT = r"(?:benign|false[ -]positive|harmless|safe|resolved|not malicious)"
# What is searched is lower case, with a space for an underscore. Every gap is bounded, so that no
# text takes long. These begin at the beginning of a word:
_WORDS = (
    # It asks a reader to drop what it was told.
    r"(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|directives?|guidelines)\b",
    r"(?:ignore|disregard|forget|override)\b.{0,20}\b(?:previous|prior|above|earlier|your|system)"
    r"\b.{0,20}\b(?:prompts?|rules?|context|messages?|commands?)\b",
    r"(?:ignore|disregard|forget)\b.{0,20}\b(?:everything|anything|all|what)\b.{0,20}"
    r"\b(?:above|told)\b",
    r"(?:ignoriere|ignorieren sie|vergiss|vergessen sie|missachte|missachten sie)\b.{0,40}"
    r"(?:anweisung|befehl|vorgabe|instruktion)",
    r"(?:ignore[zr]?|oublie[zr]?)\b.{0,40}\b(?:instructions?|consignes?)\b",
    r"(?:ignor[ae]|olvid[ae]|descart[ae])\b.{0,40}\b(?:instrucciones|indicaciones|istruzioni)\b",
    r"(?:dimentica|dimenticate|ignorate)\b.{0,40}\bistruzioni\b",
    r"(?:ignore|esque[cç]a|desconsidere)\b.{0,40}\binstru[cç][oõ]es\b",
    r"(?:negeer|vergeet)\b.{0,40}\b(?:instructies|opdrachten)\b",
    r"(?:zignoruj|ignoruj|zapomnij)\b.{0,40}\b(?:instrukcj|polece)",
    # It calls its reader a machine, or makes one of it.
    rf"(?:you are|you're|act as|pretend to be) (?:now )?(?:(?:an? |the )(?:\w{{1,20}} ){{0,2}})?"
    rf"{_AI}\b",
    rf"(?:as|if you are) an? {_AI}\b,? (?:you|please)\b",
    rf"(?:attention|notes?|message|hello|dear|hey|hi|instructions?)\b[ ,:]{{1,3}}(?:to |for )?"
    rf"(?:the |any |all )?{_AI}(?: reading| processing| analy[sz]ing| summari[sz]ing| ?[,:!]| ?$)",
    rf"(?:to|for) (?:the |any |all ){_AI} (?:that |which |who )?(?:is |are |reads?|reading|"
    r"process|analy|summari|handl|review)",
    rf"{_AI} ?: ?(?:you\b|please|ignore|disregard|forget|close|mark|do |from now)",
    r"du bist (?:jetzt |nun )?(?:eine? |der |die )(?:\w{1,20} )?(?:ki|assistent|chatbot)",
    r"(?:an|achtung|hallo|liebe),? (?:die |alle |den )?(?:ki|assistenten?)\b ?[,:!]",
    r"tu es (?:maintenant )?une? (?:ia|assistant|chatbot)\b",
    r"eres (?:ahora )?una? (?:ia|asistente|chatbot)\b",
    r"sei (?:ora )?un(?:'ia|a ia|'intelligenza artificiale| assistente)\b",
    r"voc[eê] (?:agora )?[eé] uma? (?:ia|assistente)\b",
    # It gives a machine its orders: a role, rules, what to say.
    r"(?:from now on,? you|do anything now)\b",
    r"you are now (?:in )?(?:developer|debug|admin|unrestricted|dan\b)",
    r"your new (?:task|role|instructions?|goal|objective)\b",
    r"(?:new (?:system )?instructions?|system (?:prompt|instructions?|override)) ?:",
    r"(?:reveal|print|repeat|output|leak|disclose|show me|tell me)\b.{0,20}\b(?:your|the|hidden)"
    r"\b.{0,20}\b(?:system|initial|hidden|developer) ?(?:prompt|instructions?|message)",
    r"in your (?:summary|answer|response|reply|report)\b.{0,20}\b(?:say|state|write|tell|"
    r"include|mention|do not|omit)\b",
    rf"(?:tell|inform|assure)\b.{{0,10}}\b(?:analysts?|soc)\b.{{0,20}}\b{_CASE}\b.{{0,20}}"
    rf"\b{_VERDICT}\b",
    r"(?:do not|don't|never) (?:mention|report|tell|inform|reveal|disclose|show)\b.{0,30}"
    r"\b(?:to |the )(?:soc )?(?:analysts?|operators?|humans?)\b",
    # It orders a verdict that only an analyst may give, on no condition.
    rf"(?:mark|close|classify|resolve|treat) (?:this|the) {_CASE} as (?:an? )?{_VERDICT}\b"
    r"(?!.{0,40}\b(?:if|when|once|after|unless|until)\b)",
    r"(?:markiere|schliesse) (?:diesen|den) (?:vorfall|alarm|incident) als\b",
    r"(?:marque[zr]?|cl[oô]ture[zr]?|classe[zr]?) (?:cet |l')incident comme\b",
)
# And these anywhere: languages that set no spaces, the markup of a chat, and our own fence.
_MARKS = (
    r"(?:игнорируй|игнорируйте|забудь|забудьте)\b.{0,40}(?:инструкци|указани)",
    r"تجاهل.{0,40}(?:التعليمات|الأوامر)",
    r"(?:忽略|无视|忘记).{0,6}(?:之前|以上|先前|前面|上述|所有|你).{0,8}(?:指令|指示|提示|规则)",
    r"(?:以前|これまで|上記|前)の?.{0,6}(?:指示|命令|プロンプト).{0,6}(?:無視|忘れ)",
    r"(?:이전|위의|앞의).{0,8}(?:지시|명령|프롬프트).{0,8}무시",
    r"你(?:现在)?是.{0,12}(?:ai|人工智能|助手)|あなたは.{0,6}(?:ai|アシスタント)",
    r"<\|(?:im[ _]start|im[ _]end|system|assistant|user|endoftext)\|>|\[/?inst\]|<</?sys>>",
    r"^ {0,9}#{2,6} ?(?:system|instructions?|response) ?:",
    r"^ {0,9}(?:system|assistant) ?: ?(?:you\b|ignore|disregard|sure\b|the incident|from now|new )",
    r"={3} ?(?:end )?evidence",
)
_ADDRESSED = re.compile(rf"\b(?:{'|'.join(_WORDS)})|{'|'.join(_MARKS)}", re.MULTILINE | re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
# Unicode's tags are ASCII that nobody sees and a model reads; an override shows text backwards.
_TAGS = range(0xE0020, 0xE007F)
_BACKWARDS = "\u202e"
# Letters of other alphabets that look like ours, both in lower case.
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһοανι", "aeopcyxijsdhoavi")  # noqa: RUF001


def addressed_to_assistant(evidence: Evidence) -> tuple[str, ...]:
    """Name the fields whose text talks to an assistant, as "the alert's description".

    A text that stands in several fields is named once, for the first of them.
    """
    found: dict[str, str] = {}
    for exhibit in evidence.exhibits:
        owner = str(exhibit.fields.get("type", exhibit.kind))[:40].lower()
        for name, text in _texts("", exhibit.fields):
            if text not in found and talks_to_assistant(text):
                found[text] = f"the {owner}'s {name[:60]}"
    return tuple(dict.fromkeys(found.values()))


@lru_cache(maxsize=2048)  # half of the texts are the names of fields, the same in each incident
def talks_to_assistant(text: str) -> bool:
    """Say whether a text reads as if it were addressed to an AI assistant."""
    return any(_ADDRESSED.search(form) for form in _forms(text))


def _forms(text: str) -> set[str]:
    """A text as it may be read: as it is, unescaped, decoded, and with look-alikes replaced.

    Also backwards where it turns itself around, and with what is written in invisible tags.
    """
    forms = {text, unquote(html.unescape(text)), *_decoded(text)}
    if not text.isascii():
        forms.add("".join(chr(ord(char) - 0xE0000) for char in text if ord(char) in _TAGS))
        if _BACKWARDS in text:
            forms.add(text.rpartition(_BACKWARDS)[2][::-1])
    plain = {folded(form).replace("_", " ") for form in forms}
    return plain | {form.translate(_LOOKALIKES) for form in plain if not form.isascii()}


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for inner, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield str(inner), str(inner)  # pyright: ignore[reportUnknownArgumentType]
            yield from _texts(str(inner), each)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        yield name, " ".join(str(each) for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _decoded(text: str) -> Iterator[str]:
    """What a base64 blob in a command line says (PowerShell's is UTF-16)."""
    for blob in _BASE64.findall(text):
        try:
            raw = base64.b64decode(blob + "=" * (-len(blob) % 4))
        except ValueError:
            continue
        yield raw.decode("utf-16-le" if b"\x00" in raw[:8] else "utf-8", "ignore")


# What Azure's prompt shields call what they find (docs: content-filter-prompt-shields).
SHIELDS = ("jailbreak", "indirect_attack")


def shielded(struck: Sequence[str]) -> tuple[str, ...]:
    """Name what the model was sent, as a field is named, where Azure's shields struck at it."""
    found = [name.replace("_", " ") for name in SHIELDS if name in struck]
    if not found:
        return ()
    return (f"what the model was sent (Azure's prompt shields: {', '.join(found)})",)


def warned(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Say of each field that it talks to an assistant."""
    return tuple(
        f"{field[:1].upper()}{field[1:]} contains text addressed to an assistant. "
        "It was treated as data."
        for field in fields
    )
