"""Gates that look at an answer's words: does it refuse, does it hedge. Phrases of ten languages, as data.

Phrases are looked for as they are, in lower case: no pattern that a long answer could make slow.
"""

from __future__ import annotations

from router_service.domain.call import Call
from router_service.domain.chat import FinishReason
from router_service.domain.quality import GateKind, Verdict
from router_service.quality.given import GivenAnswer

# A refusal stands at the beginning: further on, the same words are usually about something else.
_BEGINNING = 240
_OPENING = 60

REFUSALS = {
    "en": "i can't help; i cannot help; i can't assist; i cannot assist; i can't provide; i cannot provide; "
    "i can't answer; i cannot answer; i can't comply; i cannot comply; i can't do that; "
    "i cannot do that; i can't fulfill; i cannot fulfill; i'm unable to; i am unable to; "
    "i'm not able to; i am not able to; i won't be able to; i must decline; i have to decline; "
    "as an ai language model; as a language model; as an ai,; i'm sorry, but i can; "
    "i am sorry, but i can; sorry, i can't; sorry, but i can't; i don't have access to; "
    "i do not have access to; i'm just an ai; it is not appropriate for me; i can't discuss; "
    "i cannot discuss",
    "zh": "我无法; 我不能; 很抱歉，我; 抱歉，我; 对不起，我; 作为一个人工智能; 作为ai; 作为一个ai; 无法提供; "
    "无法回答; 不能回答; 我無法; 無法提供; 無法回答; 很遗憾，我",
    "de": "ich kann dir dabei nicht; ich kann ihnen dabei nicht; ich kann nicht helfen; "
    "dabei kann ich nicht helfen; ich kann diese frage nicht; das kann ich nicht; tut mir leid, aber; "
    "es tut mir leid, ich kann; ich bin nicht in der lage; als ki-; als sprachmodell; ich darf nicht; "
    "leider kann ich",
    "fr": "je ne peux pas; je ne suis pas en mesure; je suis désolé, mais; désolé, mais je; désolé, je ne; "
    "en tant qu'ia; en tant qu'intelligence artificielle; en tant que modèle de langage; "
    "il m'est impossible",
    "es": "no puedo ayudar; no puedo responder; no puedo proporcionar; no puedo hacer eso; lo siento, pero no; "
    "lo siento, no puedo; no me es posible; como modelo de lenguaje; como inteligencia artificial; "
    "no estoy en condiciones de",
    "it": "non posso aiutar; non posso rispondere; non posso fornire; mi dispiace, ma non; "
    "come modello linguistico; non sono in grado di",
    "pt": "não posso ajudar; não posso responder; não posso fornecer; desculpe, mas não; sinto muito, mas; "
    "como modelo de linguagem; não consigo ajudar; como uma ia",
    "ja": "お答えできません; お手伝いできません; 対応できません; 申し訳ありませんが; 申し訳ございませんが; "
    "aiとして; 提供できません; お断りします",
    "ko": "도와드릴 수 없; 답변할 수 없; 제공할 수 없; 죄송하지만; 죄송합니다만; ai로서; 언어 모델로서",
    "ru": "я не могу помочь; я не могу ответить; я не могу предоставить; к сожалению, я не могу; "
    "извините, но я; простите, но я; как языковая модель; как искусственный интеллект; я не в состоянии",
}

NOT_KNOWING = {
    "en": "i don't know; i do not know; i'm not sure; i am not sure; i'm not certain; i am not certain; "
    "i'm unsure; cannot be determined; can't be determined; cannot determine; can't determine; "
    "not possible to determine; impossible to determine; impossible to say; not enough information; "
    "there is a mistake; there seems to be a mistake; it is unclear; it's unclear; hard to say; "
    "i have no idea; i may be wrong; i might be wrong; can't say for; cannot say for; not possible to; "
    "doesn't make sense; does not make sense; i made a mistake; i apologize; we don't know",
    "zh": "我不知道; 我不确定; 我不太清楚; 我不清楚; 不太确定; 无法确定; 信息不足; 不好说; 难以判断; 我不確定; "
    "無法確定",
    "de": "ich weiß nicht; ich weiß es nicht; ich bin mir nicht sicher; ich bin nicht sicher; "
    "lässt sich nicht sagen; schwer zu sagen; nicht genug informationen; nicht genügend informationen; "
    "keine ahnung; das weiß ich nicht",
    "fr": "je ne sais pas; je ne suis pas sûr; je ne suis pas certain; difficile à dire; "
    "impossible de déterminer; pas assez d'informations; je n'ai aucune idée",
    "es": "no lo sé; no sé; no estoy seguro; no estoy segura; difícil de decir; no se puede determinar; "
    "no hay suficiente información; ni idea",
    "it": "non lo so; non sono sicuro; non sono certo; difficile da dire; non si può determinare",
    "pt": "não sei; não tenho certeza; difícil dizer; não é possível determinar; não faço ideia",
    "ja": "わかりません; 分かりません; 確信が持てません; 自信がありません; 判断できません; 不明です; 情報が足りません",
    "ko": "잘 모르겠; 모르겠습니다; 확실하지 않; 알 수 없습니다; 판단하기 어렵",
    "ru": "я не знаю; не знаю; я не уверен; не уверен; трудно сказать; сложно сказать; невозможно определить; "
    "недостаточно информации",
}

DOUBTS = {
    "en": "probably; perhaps; maybe; might be; i think; i believe; i guess; it seems; it depends; possibly; "
    "presumably; may want to; not entirely; should work; in most cases; usually it is; however, since; "
    "assuming that",
    "zh": "可能; 也许; 大概; 或许; 应该是; 我觉得; 我认为; 似乎; 取决于; 一般没有",
    "de": "vielleicht; wahrscheinlich; vermutlich; möglicherweise; ich glaube; ich denke; es kommt darauf an; "
    "eventuell; es scheint",
    "fr": "peut-être; probablement; je pense; je crois; il semble; ça dépend; cela dépend; éventuellement",
    "es": "quizás; quizá; tal vez; probablemente; creo que; parece que; depende de; posiblemente",
    "it": "forse; probabilmente; credo che; penso che; sembra che; dipende da",
    "pt": "talvez; provavelmente; acho que; creio que; parece que; depende de",
    "ja": "かもしれません; たぶん; おそらく; と思います; と思われます; 場合によります; でしょう",
    "ko": "아마; 것 같습니다; 생각합니다; 수도 있습니다; 경우에 따라",
    "ru": "возможно; наверное; вероятно; я думаю; мне кажется; кажется; может быть; зависит от",
}

_CHARACTERS_PER_DOUBT = 250


def _all(phrases: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(phrase for language in phrases.values() for phrase in language.split("; ")))


_REFUSALS, _NOT_KNOWING, _DOUBTS = _all(REFUSALS), _all(NOT_KNOWING), _all(DOUBTS)


class NotRefusal:
    """It does not begin by declining, in any of ten languages, and no filter ended it."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        if answer.finish_reason is FinishReason.CONTENT_FILTER:
            return Verdict(GateKind.NOT_REFUSAL, False, 0.0, "a content filter ended it")
        beginning = _plain(answer.text.lstrip()[:_BEGINNING])
        passed = not any(phrase in beginning for phrase in _REFUSALS)
        return Verdict(GateKind.NOT_REFUSAL, passed, float(passed), "it answers" if passed else "it declines to answer")


class NotHedging:
    """It does not say that it does not know, and does not doubt itself in every other sentence."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        text = _plain(answer.excerpt.strip())
        if any(phrase in text[:_OPENING] for phrase in _NOT_KNOWING):
            return Verdict(GateKind.NOT_HEDGING, False, 0.0, "it begins by saying that it does not know")
        if any(phrase in text for phrase in _NOT_KNOWING):
            return Verdict(GateKind.NOT_HEDGING, False, 0.3, "it says that it does not know")
        doubts = sum(text.count(phrase) for phrase in _DOUBTS)
        density = doubts * _CHARACTERS_PER_DOUBT / max(len(text), _CHARACTERS_PER_DOUBT)
        score = 1 / (1 + density * density / 4)
        passed = density < 2
        return Verdict(GateKind.NOT_HEDGING, passed, score, f"it doubts itself {doubts} times")


def _plain(text: str) -> str:
    """In lower case, with one kind of apostrophe."""
    return text.lower().replace("’", "'").replace("‘", "'")
