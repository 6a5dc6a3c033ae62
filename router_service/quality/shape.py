"""Gates that look at an answer's outer shape: is there one, is it whole, does it repeat itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.chat import FinishReason
from router_service.domain.quality import Gate, GateKind, Verdict
from router_service.quality.given import GivenAnswer, last_question

_USUAL_LEAST_CHARACTERS = 10

_WORD = re.compile(r"\w+")
_RUN = 4
_RUN_OF_CHARACTERS = 8
_FEWEST_RUNS = 24
_LEAST_DISTINCT = 0.45
# Scripts that write no spaces between words.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")

_ENDS = (".", "!", "?", ":", ";", ")", "]", "}", "`", '"', "”", "»", "。", "！", "？", "」", "）", "…", "*", "|", "$")
_SENTENCE_END = re.compile(r"[.!?。！？]+(?:\s|$|(?=[\u3040-\u9fff]))")
_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*•]|\d{1,3}[.)、])[ \t]", re.MULTILINE)

_TRANSLATES = re.compile(
    r"(?i)translat|übersetz|tradui|tradu[czç]|traduz|перевед|перевод|翻译|翻譯|翻訳|訳して|번역|vertaal|översätt|tłumacz"
    r"|\bin(?:to)? (?:english|german|french|spanish|chinese|japanese|russian|italian|portuguese|korean|dutch|polish)\b"
)
_LEAST_TEXT_OF_A_LANGUAGE = 24


class NotEmpty:
    """There is something: text, or a tool call."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        passed = bool(answer.text.strip()) or answer.calls_tools
        return Verdict(GateKind.NOT_EMPTY, passed, float(passed), "it has content" if passed else "it is empty")


@dataclass(frozen=True, slots=True)
class LongEnough:
    """So many characters at least; in scripts that write a word in one or two characters, half as many."""

    characters: int

    @classmethod
    def of(cls, gate: Gate) -> LongEnough:
        return cls(_USUAL_LEAST_CHARACTERS if gate.at_least is None else gate.at_least)

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        text = answer.text.strip()
        wanted = self.characters
        if _UNSPACED.search(text[:200]):
            wanted = (wanted + 1) // 2
        passed = len(text) >= wanted
        score = 1.0 if passed else len(text) / wanted
        return Verdict(GateKind.LONG_ENOUGH, passed, score, f"it has {len(text)} of at least {wanted} characters")


class NotTruncated:
    """The model ended it; no token limit cut it."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        passed = answer.finish_reason is not FinishReason.LENGTH
        reason = "the model ended it" if passed else "the token limit cut it"
        return Verdict(GateKind.NOT_TRUNCATED, passed, float(passed), reason)


class NotRepetitive:
    """It does not go round in circles: most runs of four words (in unspaced scripts, eight characters) occur once."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        text = answer.excerpt.lower()
        unspaced = len(_UNSPACED.findall(text)) * 4 > len(text)
        units = "".join(_WORD.findall(text)) if unspaced else _WORD.findall(text)
        size = _RUN_OF_CHARACTERS if unspaced else _RUN
        runs = len(units) - size + 1
        if runs < _FEWEST_RUNS:
            return Verdict(GateKind.NOT_REPETITIVE, True, 1.0, "it is too short to go round in circles")
        distinct = len({tuple(units[at : at + size]) for at in range(runs)}) / runs
        passed = distinct >= _LEAST_DISTINCT
        score = min(1.0, distinct / 0.9)
        return Verdict(GateKind.NOT_REPETITIVE, passed, score, f"{1 - distinct:.0%} of its runs of words are repeats")


class Structured:
    """It reads like a finished piece: it ends like a sentence, a list or code, and has more than one of them."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        text = answer.excerpt.strip()
        items = len(_LIST_ITEM.findall(text))
        ends = text.endswith(_ENDS) or text[-1:].isdecimal() or items > 1
        several = items > 1 or len(_SENTENCE_END.findall(text)) > 1 or "\n\n" in text
        score = 0.5 * ends + 0.5 * several
        found = "it ends properly" if ends else "it ends in the middle"
        found += " and has several parts" if several else " and is a single piece"
        return Verdict(GateKind.STRUCTURED, ends, score, found)


class SameLanguage:
    """It is in the language of the prompt, unless that asks for a translation; where either is unclear it passes."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        asked, given = answer.asked_language.partition("-")[0], answer.language
        if not asked or not given or len(answer.text.strip()) < _LEAST_TEXT_OF_A_LANGUAGE:
            return Verdict(GateKind.SAME_LANGUAGE, True, 1.0, "its language or the prompt's is not clear")
        passed = given == asked or bool(_TRANSLATES.search(last_question(call)[:2000]))
        return Verdict(
            GateKind.SAME_LANGUAGE, passed, float(passed), f"the prompt is in {asked}, the answer in {given}"
        )
