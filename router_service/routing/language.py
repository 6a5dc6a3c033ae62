"""Which language a prompt is in: by script, and for Latin letters by the small words every sentence has."""

from __future__ import annotations

import re
from collections import Counter

from router_service.routing.excerpt import Excerpt, excerpt

_SAMPLE_CHARACTERS = 400
_SAMPLE_WORDS = 80
_LEAST_EVIDENCE = 1.0
_LEAST_SHARE_OF_WORDS = 0.05
_FEWEST_TELLING_WORDS = 3

_SCRIPTS = re.compile(
    "(?P<kana>[\u3040-\u30ff\u31f0-\u31ff]+)|(?P<han>[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)"
    "|(?P<hangul>[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]+)|(?P<cyrillic>[\u0400-\u052f]+)|(?P<arabic>[\u0600-\u06ff]+)"
    "|(?P<el>[\u0370-\u03ff\u1f00-\u1fff]+)|(?P<he>[\u0590-\u05ff]+)|(?P<th>[\u0e00-\u0e7f]+)|(?P<hi>[\u0900-\u097f]+)"
    "|(?P<bn>[\u0980-\u09ff]+)|(?P<ta>[\u0b80-\u0bff]+)|(?P<ka>[\u10a0-\u10ff]+)|(?P<hy>[\u0530-\u058f]+)"
    "|(?P<latin>[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+)"
)
# Short quotations: what a text is about, not what it is in. An apostrophe within a word opens none.
_QUOTED = re.compile(
    r"(?<!\w)'[^'\n]{1,200}'(?!\w)|\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|„[^“”\n]{1,200}[“”]|‘[^’\n]{1,200}’(?!\w)"
    r"|«[^»\n]{1,200}»|「[^」\n]{1,200}」|『[^』\n]{1,200}』"
)
# A character of these scripts says as much as several letters.
_WEIGHT_OF_CHARACTER = {"han": 3, "kana": 2, "hangul": 2}
# Japanese mixes in Han characters, Chinese never mixes in kana beyond a quoted word.
_KANA_SHARE_OF_JAPANESE = 0.1

# No word of one letter: those are the names of variables in every language.
_STOP_WORDS = {
    "en": "the of and to is are was what how why who when which in for with that this it you your can do does my me "
    "from not be or on at an if there please have has about would should could write give explain tell "
    "hello hi hey thanks thank good morning they we were will some more than then here just help these those make show "
    "implement translate summarize summarise classify rewrite find prove solve where into but",
    "de": "der die das und ist sind war nicht ich du sie wir ihr ein eine einen einem wie was wer wo warum mit auf "
    "für von zu im den dem des sich auch es bitte kann können mir mein dein wird über aus bei nach oder als "
    "hallo danke guten morgen wann dass gibt viele geht schreibe erkläre noch nur um keine mehr habe",
    "fr": "le la les des et est sont un une que qui quoi comment pourquoi je tu il elle nous vous dans pour avec "
    "sur pas ne ce cette ces du au aux mon ma mes votre plus être peux pouvez moi ou où en de quelle quel "
    "bonjour bonsoir merci salut avez bien fait quand",
    "es": "el la los las de es son un una que qué cómo por para con en del al no se su mi tu yo más está cuál dónde "
    "puedes quiero favor me lo como pero este esta entre cuando porque "
    "hola gracias buenos días tiene hacer cuándo",
    "it": "il lo la gli le di sono un una che chi come perché per con non del della dei delle nel nella al alla si "
    "mi ti più questo questa anche puoi cosa quale dove ho ha ed "
    "ciao grazie buongiorno dov è mio mia quando sei",
    "pt": "os as de são um uma que como por para com não em do da dos das no na ao se seu sua meu minha mais você "
    "está qual onde porque eu isso este esta pode me também "
    "olá obrigado obrigada bom dia quando fazer",
    "nl": "de het een en is zijn was niet ik je jij hij zij wij we van voor met op in te dat die dit wat wie waar "
    "waarom hoe kun kan mij mijn ook naar bij uit aan er maar of om "
    "hallo bedankt goedemorgen wanneer morgen geen wel",
    "sv": "och det att är en ett som på för med av inte jag du han hon vi ni de den till från hur vad varför kan "
    "min om har var så eller men "
    "hej tack när",
    "da": "og det at er en et som på for med af ikke jeg du han hun vi de den til fra hvordan hvad hvorfor kan min "
    "om har var så eller men mig "
    "hej tak hvornår",
    "no": "og det er en et som på for med av ikke jeg du han hun vi de den til fra hvordan hva hvorfor kan min om "
    "har var så eller men meg "
    "hei takk når",
    "fi": "ja on ei se että en ovat mitä miten miksi kuka missä minä sinä hän me te he mutta tai kun joka ole voi "
    "olen tämä minun voitko "
    "hei moi kiitos milloin",
    "pl": "na do się nie jest to są że jak co kto gdzie dlaczego dla od przez jako ale czy po mi mój ty ja czym "
    "proszę oraz ten ta "
    "cześć dziękuję dzień dobry kiedy",
    "cs": "na se je to že jak co kdo kde proč pro od jako ale nebo do si jsem jsou mi můj není být prosím který také "
    "ahoj děkuji kdy",
    "ro": "și în la de este sunt un cu pe nu ce cum care pentru din să mai se că eu tu sau dar unde cine "
    "bună mulțumesc salut când",
    "hu": "az és hogy nem egy van mi ki hogyan miért hol is de ez azt meg csak vagy én te kérlek szia köszönöm mikor",
    "tr": "ve bir bu ne nasıl neden için ile de da mi mı ben sen var yok çok değil olarak daha gibi kim nerede lütfen "
    "merhaba teşekkürler",
    "id": "yang dan di ini itu adalah apa bagaimana mengapa untuk dengan dari saya anda kamu tidak ke pada dalam "
    "bisa tolong siapa atau akan "
    "terima kasih kapan",
    "vi": "là và của có không tôi bạn một các cho với được này những trong để như thế nào gì tại sao hãy về "
    "xin chào cảm ơn",
}
_TELLTALE = {
    "ß": "de", "ñ": "es", "¿": "es", "ã": "pt", "õ": "pt", "œ": "fr", "ł": "pl", "ż": "pl", "ę": "pl", "ř": "cs",
    "ů": "cs", "ě": "cs", "ő": "hu", "ű": "hu", "ğ": "tr", "ı": "tr", "ș": "ro", "ț": "ro", "đ": "vi", "ơ": "vi",
    "ư": "vi", "ạ": "vi", "ế": "vi", "ç": "fr", "ä": "de", "ü": "de", "å": "sv", "æ": "da", "ø": "no",
}  # fmt: skip


def _votes_by_word() -> dict[str, tuple[tuple[str, float], ...]]:
    """A word that many languages share says little for each of them."""
    owners: dict[str, list[str]] = {}
    for language, words in _STOP_WORDS.items():
        for word in words.split():
            owners.setdefault(word, []).append(language)
    return {word: tuple((language, 1 / len(owned)) for language in owned) for word, owned in owners.items()}


_VOTES = _votes_by_word()


def detect_language(said: Excerpt) -> str:
    """A lower-case BCP 47 primary subtag such as "en" or "zh"; empty where the text does not tell."""
    unquoted = _QUOTED.sub(" ", said.text)
    if unquoted != said.text and (language := _language_of(excerpt(unquoted))):
        return language
    return _language_of(said)


def language_of_answer(text: str, asked: str) -> str:
    """The language of an answer; `asked`, the prompt's, unless it clearly is in another.

    Answers full of names and numbers hold a few words that other languages have too, so that among those of Latin
    script it takes several different ones.
    """
    given = excerpt(text)
    found = detect_language(given)
    if found == asked or asked not in _STOP_WORDS or found not in _STOP_WORDS:
        return found
    owners = ({language for language, _ in _VOTES.get(word, ())} for word in set(given.words[:_SAMPLE_WORDS]))
    telling = sum(found in languages and asked not in languages for languages in owners)
    return found if telling >= _FEWEST_TELLING_WORDS else asked


def _language_of(excerpt: Excerpt) -> str:
    if not excerpt.text.isascii():
        script = _main_script(excerpt.text[:_SAMPLE_CHARACTERS])
        if script == "cyrillic":
            return _cyrillic_language(excerpt.lower[:_SAMPLE_CHARACTERS])
        if script == "arabic":
            return _arabic_language(excerpt.text[:_SAMPLE_CHARACTERS])
        if script != "latin":
            return script
    return _latin_language(excerpt)


def _main_script(sample: str) -> str:
    """The language of the script with the most weight, or "latin", "cyrillic" or "arabic", which many share."""
    weights: Counter[str] = Counter()
    for run in _SCRIPTS.finditer(sample):
        script = run.lastgroup or ""
        weights[script] += (run.end() - run.start()) * _WEIGHT_OF_CHARACTER.get(script, 1)
    east_asian = weights["han"] + weights["kana"]
    if weights["kana"] > east_asian * _KANA_SHARE_OF_JAPANESE:
        weights["ja"] = east_asian
    else:
        weights["zh"] = east_asian
    weights["ko"] = weights["hangul"]
    del weights["han"], weights["kana"], weights["hangul"]
    script, weight = weights.most_common(1)[0]
    return script if weight else "latin"


def _cyrillic_language(sample: str) -> str:
    for language, letters in (("be", "ў"), ("uk", "іїєґ"), ("sr", "јњљђћџ")):
        if any(letter in sample for letter in letters):
            return language
    if "ъ" in sample and "ы" not in sample and "э" not in sample:
        return "bg"
    return "ru"


def _arabic_language(sample: str) -> str:
    if any(letter in sample for letter in "ٹڈڑے"):
        return "ur"
    if any(letter in sample for letter in "پچژگ"):
        return "fa"
    return "ar"


def _latin_language(excerpt: Excerpt) -> str:
    scores: dict[str, float] = {}
    words = excerpt.words[:_SAMPLE_WORDS]
    for word in words:
        for language, vote in _VOTES.get(word, ()):
            scores[language] = scores.get(language, 0.0) + vote
    if not excerpt.text.isascii():
        sample = excerpt.lower[:_SAMPLE_CHARACTERS]
        for letter, language in _TELLTALE.items():
            if letter in sample:
                scores[language] = scores.get(language, 0.0) + 0.75
    if not scores:
        return ""
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= max(_LEAST_EVIDENCE, len(words) * _LEAST_SHARE_OF_WORDS) else ""
