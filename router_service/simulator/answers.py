"""What the simulated models say: plausible, varied, the same for the same prompt, better the better the model."""

from __future__ import annotations

import re
from random import Random
from typing import Final

from router_service.simulator import asked
from router_service.simulator.phrases import CHINESE, ENGLISH, LABEL_HINTS, STOP_WORDS, Phrases

_ARITHMETIC = re.compile(r"(?<![\w.])(\d{1,9})\s*([-+*x×/])\s*(\d{1,9})(?![\w.])")
_LABELS = re.compile(
    r"(?i)(?:one of|labels?|categories|categor(?:y|ise|ize) as|options)\s*[:(]?\s*([\w '/-]+(?:,\s*[\w '/-]+)+)"
)
_CJK = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W\d_][\w'-]{3,}")
_HARD: Final = re.compile(
    r"(?i)prove|proof|theorem|architect|trade-?offs?|deadlock|concurren|consensus|distributed|optimi[sz]e|derive"
    r"|root cause|step by step|multi-step|analy[sz]e|strategy|regulat|证明|推导|架构|权衡|分析"
)
_INTENTS: Final = (
    ("code", re.compile(r"(?i)```|\bdef |\bclass |\bfunction\b|\bbug\b|review this|refactor|\bSQL\b|代码")),
    ("summary", re.compile(r"(?i)summar|tl;?dr|in short|key points|总结|摘要")),
    ("draft", re.compile(r"(?i)\b(?:draft|write|compose|reply to|email|announcement|post)\b|起草|邮件|撰写")),
    ("translation", re.compile(r"(?i)translat|翻译")),
    ("list", re.compile(r"(?i)\b(?:list|ideas|suggest|options|ways to|steps)\b|列出|建议")),
)
_CHINESE_TERM: Final = re.compile(
    r"[^\W\d_a-zA-Z请的了吗呢我你您是和与在把被就都也很一下这那什么怎如何为帮给写用能可以个]{2,6}"
)
_UNSURE_BELOW = 0.1
_WEAK_BELOW = 0.3


def difficulty(prompt: str) -> float:
    """How hard a prompt looks, from 0 to 1."""
    return min(1.0, 0.22 * len({match.lower() for match in _HARD.findall(prompt)}) + len(prompt) / 40_000)


def answer(prompt: str, *, system: str, quality: float, rng: Random, sees_image: bool = False) -> str:
    """An answer to `prompt`; `quality` from 0 to 1 decides how good. All variety comes from `rng`."""
    phrases = CHINESE if _CJK.search(prompt) else ENGLISH
    margin = quality - 0.55 * difficulty(prompt) + rng.uniform(-0.1, 0.1)
    if asked.is_grading(system):
        return asked.grade(asked.block_of(prompt), quality=quality, rng=rng)
    if (label := _label(prompt, system, quality, margin, rng)) is not None:
        return label
    if (result := _arithmetic(prompt, phrases, margin, rng)) is not None:
        return result
    if margin < _UNSURE_BELOW:
        return rng.choice((*phrases.unsure, *phrases.refusals))
    intent = "image" if sees_image else next((name for name, words in _INTENTS if words.search(prompt)), "explanation")
    topics = _topics(prompt, phrases)
    if margin < _WEAK_BELOW:
        return _fill(rng.choice(phrases.weak), topics, rng)
    return _composed(intent, topics, phrases, margin, rng)


def thoughts(prompt: str, *, effort: str, rng: Random) -> str:
    """What a reasoning model thinks before it answers; longer with effort "high", shorter with "low"."""
    phrases = CHINESE if _CJK.search(prompt) else ENGLISH
    rounds = {"none": 0, "minimal": 1, "low": 2, "high": 8}.get(effort, 4)
    topics = _topics(prompt, phrases)
    return " ".join(_fill(rng.choice(phrases.thoughts), topics, rng) for _ in range(rounds))


def _composed(intent: str, topics: list[str], phrases: Phrases, margin: float, rng: Random) -> str:
    body = phrases.bodies.get(intent) or phrases.bodies["explanation"]
    sentences = [_fill(sentence, topics, rng) for sentence in rng.sample(body, min(len(body), 2 + round(margin * 4)))]
    opening = _fill(rng.choice(phrases.openings[intent]), topics, rng)
    if intent in {"draft", "translation"}:
        return phrases.space.join([opening, *sentences])
    numbered = [f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1)]
    closing = [_fill(rng.choice(phrases.closings), topics, rng)] if margin > 0.5 else []
    return "\n".join([opening, *numbered, *closing])


def _label(prompt: str, system: str, quality: float, margin: float, rng: Random) -> str | None:
    found = _LABELS.search(prompt) or _LABELS.search(system)
    if found is None:
        return None
    labels = [label.strip(" '") for label in re.split(r",\s*(?:or |and )?|\s+or\s+", found[1]) if label.strip(" '")]
    if asked.sorts_by_ease(labels):
        return asked.ease(difficulty(asked.block_of(prompt)), quality=quality, rng=rng)
    text = prompt.replace(found[0], "")
    scores = {label: _overlap(label, text) for label in labels}
    best = max(labels, key=lambda label: scores[label])
    return best if scores[best] and margin > 0 else rng.choice(labels)


def _overlap(label: str, text: str) -> int:
    words = re.findall(r"\w{3,}", label.lower())
    hints = {hint for word in words for hint in (word[:5], *LABEL_HINTS.get(word, ()))}
    return sum(hint in text.lower() for hint in hints)


def _arithmetic(prompt: str, phrases: Phrases, margin: float, rng: Random) -> str | None:
    found = _ARITHMETIC.search(prompt)
    if found is None:
        return None
    left, sign, right = int(found[1]), found[2], int(found[3])
    if sign == "/" and right == 0:
        return None
    exact = {"+": left + right, "-": left - right, "/": left / right if right else 0}.get(sign, left * right)
    slip = 0 if margin > 0.3 or rng.random() < margin else rng.choice((-10, -1, 1, 9, 10))
    return phrases.result.format(left=left, sign=sign, right=right, result=f"{exact + slip:.10g}")


def _topics(prompt: str, phrases: Phrases) -> list[str]:
    if phrases is CHINESE:
        runs = dict.fromkeys(_CHINESE_TERM.findall(prompt[-4000:]))
        return sorted(runs, key=lambda run: (-len(run), run))[:6]
    words = dict.fromkeys(word.lower() for word in _WORD.findall(prompt[-4000:]))
    return sorted((word for word in words if word not in STOP_WORDS), key=lambda word: (-len(word), word))[:6]


def _fill(sentence: str, topics: list[str], rng: Random) -> str:
    return sentence.replace("{topic}", rng.choice(topics or ["this"]))
