"""How hard a prompt is, judged without a model: code, mathematics, steps, verbs of work, systems, and length.

A heuristic, meant to tell small talk from work. It looks at words and marks only, ignores case, and knows the verbs of
a dozen languages, some better than others; a caller that knows better says so, and its label wins.
"""

from __future__ import annotations

import math
import re
from itertools import islice

from router_service.routing.excerpt import Excerpt, is_east_asian

SIMPLE, MODERATE, COMPLEX = "simple", "moderate", "complex"
BUILT_IN = frozenset({SIMPLE, MODERATE, COMPLEX})

MODERATE_FROM = 0.25
COMPLEX_FROM = 0.5


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _east_asian(text: str) -> re.Pattern[str]:
    """Any of these words, the longest first, so that 演算法 is not 算法 as well; who does the work (设计师) is none."""
    longest_first = sorted(_words(text), key=lambda word: (-len(word), word))
    return re.compile(f"(?:{'|'.join(longest_first)})(?![师師])")


# Work that needs reasoning, by itself: one hit makes a prompt moderate, two make it complex.
_HARD_WORDS = _words(
    "prove proof derive theorem lemma algorithm architecture architect optimize optimise refactor debug diagnose "
    "tradeoff tradeoffs concurrency complexity asymptotic implement design analyze analyse evaluate critique "
    "strategy simulate integral derivative eigenvalue probability equation equations puzzle reasoning rigorous "
    "comprehensive vulnerabilities bottleneck bottlenecks scalability migrate migrating migration deadlock "
    "regression hypothesis beweise beweis beweisen herleiten analysiere analysieren entwirf entwerfen optimiere "
    "optimieren implementiere implementieren migriere migrieren architektur algorithmus bewerte strategie "
    "komplexität gleichung prouve prouver démontre démontrer analyser conçois concevoir optimiser implémente "
    "implémenter migrer algorithme évalue stratégie équation demuestra demostrar analiza analizar diseña diseñar "
    "optimiza optimizar implementa implementar migrar algoritmo evalúa arquitectura estrategia ecuación dimostra "
    "analizza progetta ottimizza valuta analise projete otimize implemente avalie estratégia докажи докажите "
    "доказать проанализируй проанализируйте спроектируй мигрировать реализуй оптимизируй алгоритм оцени стратегия "
    "уравнение"
)
_HARD_PHRASES = (
    "step by step", "step-by-step", "trade-off", "root cause", "time complexity", "edge case", "race condition",
    "system design", "pros and cons", "from scratch", "in depth", "in-depth", "schritt für schritt", "étape par étape",
    "paso a paso", "passo a passo", "шаг за шагом",
)  # fmt: skip
_HARD_EAST_ASIAN = _east_asian(
    "证明 證明 証明 推导 推導 算法 演算法 アルゴリズム 架构 架構 优化 優化 最適化 重构 调试 分析 设计 設計 实现 "
    "實現 実装 评估 評估 評価 逐步 一步一步 段階的 策略 戦略 方案 方程 方程式 定理 复杂度 複雜度 权衡 権衡 迁移 "
    "遷移 移行 증명 알고리즘 최적화 설계 구현 분석 평가 단계별 전략 방정식 마이그레이션"
)
# Work that takes some thought: two hits make a prompt moderate.
_THOUGHTFUL_WORDS = _words(
    "explain describe compare contrast discuss justify argue impact relationship correlation relate insights "
    "principles implications determine calculate compute solve suppose plan outline recommend why essay report "
    "research summarise deduce infer identities truth lies liar liars knaves truthful falsely riddle erkläre "
    "vergleiche begründe berechne warum plane explique justifie calcule pourquoi explica compara justifica calcula "
    "spiega confronta calcola perché объясни сравни вычисли почему"
)
_THOUGHTFUL_EAST_ASIAN = _east_asian(
    "解释 解釋 比较 比較 计算 計算 为什么 為什麼 说明 説明 如何保证 如何避免 설명 비교 계산"
)
# What only engineers talk about: two of them make a prompt moderate.
_SYSTEMS_WORDS = _words(
    "database databases datenbank datenbanken postgres postgresql mysql oracle mongodb redis kafka "
    "schema sharding shard replica replicas replication failover downtime ausfallzeit uptime cluster pod pods "
    "container containers kernel oomkilled oom leak leaks segfault heap stacktrace mutex semaphore atomics lockfree "
    "thread threads multithreaded async goroutine pointer pointers queue cache caching latency throughput "
    "idempotent idempotency consistency distributed monolith monolithic microservice microservices microservicios "
    "microservizi terraform ansible backend rollback rollout outage profiler база баз базы базу микросервис "
    "микросервисы простоя кластер кэш"
)
_SYSTEMS_EAST_ASIAN = _east_asian(
    "数据库 資料庫 データベース 데이터베이스 单体 單體 微服务 微服務 マイクロサービス 마이크로서비스 一致性 整合性 "
    "일관성 分布式 分散式 分散システム 분산 并发 並行 高可用 可用性 停机 停機 ダウンタイム 무중단 集群 叢集 "
    "クラスタ 클러스터 缓存 快取 キャッシュ 캐시 线程 執行緒 スレッド 스레드 内存泄漏 メモリリーク 메모리 "
    "吞吐量 容器 消息队列"
)
# Requests that stay light whatever they are about: a joke about strategy, what "critique" means.
_LIGHT_WORDS = _words(
    "joke jokes pun poem haiku limerick synonym synonyms antonym pronounce pronounced spell spelled spelling rhyme "
    "rhymes translate witz gedicht übersetze bedeutet blague poème synonyme traduis signifie chiste poema sinónimo "
    "traduce barzelletta poesia traduci significa piada traduza шутка шутку анекдот стихотворение переведи"
)
_ASKS_FOR_A_MEANING = frozenset({"what", "does", "mean"})
_LIGHT_EAST_ASIAN = _east_asian("笑话 笑話 冗談 농담 什么意思 什麼意思 の意味 뜻이 翻译 翻譯 翻訳 번역 诗 詩")
_LIGHT_UP_TO, _LIGHT_SHARE = 200, 0.5
_CODE_WORDS = _words(
    "python javascript typescript java rust golang sql regex function class method api endpoint query "
    "script program code compiler unittest pytest docker kubernetes bash html css react код функция программу "
    "funktion programm fonction programme función programa função funzione programma"
)
_MAKING_WORDS = _words(
    "write create build develop code fix generate port schreibe erstelle baue écris crée escribe crea scrivi "
    "escreva crie напиши создай исправь"
)
_MAKING_EAST_ASIAN = _east_asian("写 寫 创建 創建 修复 修復 書いて 作成 修正 작성 만들 수정")
_CODE_EAST_ASIAN = _east_asian("代码 函数 程序 (?<!方)程式 コード 関数 코드 함수")
# Names of languages that are no words.
_CODE_NAMES = ("c++", "c#", "f#", ".net", "node.js")
_CODE_MARKS = (
    "def ", "class ", "import ", "return ", "function ", "const ", "=> ", "();", ");", "{\n", "};", "</", "#include",
    "public ", "select ", "traceback (most", "error:",
)  # fmt: skip
_MATHS_SIGNS = "∫∑∏√∂∇≤≥≠∈∀∃"
# Each formula by the mark without which there is none. A search leaps to a sign, but not to a letter, so the letter
# before the sign (n ^ 2, x + 3 =, f(x) =) is looked for behind it.
_FORMULAS = (
    ("\\", re.compile(r"\\(?:frac|int|sum|sqrt|lim|partial|begin)\b")),
    ("$", re.compile(r"\$[^$\n]{3,}\$")),
    ("^", re.compile(r"\^(?:(?<=\w\^)|(?<=\w\s\^))\s?[\dn(]")),
    ("=", re.compile(r"[+*-](?:(?<=[a-z][+*-])|(?<=[a-z]\s[+*-]))\s?\d+\S*\s?=")),
    ("=", re.compile(r"\((?<=[a-z]\()[a-z]\)\s?=")),
)
_NUMBER = re.compile(r"\d\d*(?:[.,]\d+)*")
_QUANTITY_QUESTIONS = (
    "how many", "how much", "how long", "how far", "how old", "what percent", "wie viel", "combien", "cuánto",
    "quanto", "сколько", "多少", "几个", "いくつ", "いくら", "얼마",
)  # fmt: skip
_MEASURE = re.compile(
    r"\d\s?(?:km|kilomet\w+|mi|miles?|mph|kmh|meters?|metres?|m/s|kg|grams?|lit(?:er|re)s?|gallons?|feet|ft|cm|mm|"
    r"公里|千米|千克|公斤|升)(?![a-z])"
)
_RELATION_WORDS = _words(
    "apart catch faster slower twice half speed speeds average rate ratio total remaining per travels leaves leave "
    "meet fill fills empties dilute mixture entfernt schneller doppelt"
)
_STEP = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•]|\([a-z0-9]\))\s+\S")
_SEQUENCE_WORDS = _words(
    "then next finally afterwards additionally furthermore anschließend danach schließlich ensuite enfin luego "
    "después finalmente затем наконец"
)
_SEQUENCE_EAST_ASIAN = _east_asian("然后 然後 最后 最後 接着 その後 그다음 마지막으로")
WORK_WORDS = _HARD_WORDS | _THOUGHTFUL_WORDS | _SYSTEMS_WORDS | _RELATION_WORDS | _SEQUENCE_WORDS
"""All words that speak for work, or for several steps, whatever else is said."""

_HARD, _HARD_AT_MOST = 0.26, 0.6
_THOUGHTFUL, _THOUGHTFUL_AT_MOST = 0.13, 0.26
_SYSTEM, _SYSTEMS_AT_MOST = 0.13, 0.39
_CODE, _CODE_WORD = 0.26, 0.1
_MATHS = 0.26
_STEP_EACH, _STEPS_AT_MOST = 0.07, 0.28
_SIZE_AT_MOST = 0.3


def assess_complexity(excerpt: Excerpt) -> float:
    """A score from 0 (simple) to 1 (complex)."""
    return min(sum(weight for _, weight in complexity_parts(excerpt)), 1.0)


def complexity_parts(excerpt: Excerpt) -> tuple[tuple[str, float], ...]:
    """What the score is the sum of, each with its name."""
    words = set(excerpt.words)
    east_asian = is_east_asian(excerpt.lower)
    return (
        ("length", _size(excerpt)),
        ("words of work", _work(excerpt, words, east_asian)),
        ("code", _code(excerpt, words, east_asian)),
        ("mathematics", _MATHS if _is_maths(excerpt, words) else 0.0),
        ("several steps", _steps(excerpt, words, east_asian)),
    )


def _work(excerpt: Excerpt, words: set[str], east_asian: bool) -> float:
    """What the words ask for, and what they are about."""
    hard = len(words & _HARD_WORDS) + _hits(_HARD_PHRASES, excerpt.lower)
    thoughtful = len(words & _THOUGHTFUL_WORDS)
    systems = len(words & _SYSTEMS_WORDS)
    if east_asian:
        hard += _kinds(_HARD_EAST_ASIAN, excerpt.lower)
        thoughtful += _kinds(_THOUGHTFUL_EAST_ASIAN, excerpt.lower)
        systems += _kinds(_SYSTEMS_EAST_ASIAN, excerpt.lower)
    work = (
        min(_HARD * hard, _HARD_AT_MOST)
        + min(_THOUGHTFUL * thoughtful, _THOUGHTFUL_AT_MOST)
        + min(_SYSTEM * systems, _SYSTEMS_AT_MOST)
    )
    return work * _LIGHT_SHARE if work and _is_light(excerpt, words, east_asian) else work


def _is_light(excerpt: Excerpt, words: set[str], east_asian: bool) -> bool:
    if excerpt.length > _LIGHT_UP_TO:
        return False
    if not words.isdisjoint(_LIGHT_WORDS) or words >= _ASKS_FOR_A_MEANING:
        return True
    return east_asian and _LIGHT_EAST_ASIAN.search(excerpt.lower) is not None


def _code(excerpt: Excerpt, words: set[str], east_asian: bool) -> float:
    """Code to read, or code to write."""
    lower = excerpt.lower
    named, made = len(words & _CODE_WORDS) + _hits(_CODE_NAMES, lower), bool(words & _MAKING_WORDS)
    if east_asian:
        named += _kinds(_CODE_EAST_ASIAN, lower)
        made = made or _MAKING_EAST_ASIAN.search(lower) is not None
    if "```" in lower or (named and made) or _hits(_CODE_MARKS, lower) > 1:
        return _CODE
    return min(_CODE_WORD * named, _CODE)


def _is_maths(excerpt: Excerpt, words: set[str]) -> bool:
    lower = excerpt.lower
    if any(mark in lower and formula.search(lower) for mark, formula in _FORMULAS):
        return True
    if not lower.isascii() and any(sign in lower for sign in _MATHS_SIGNS):
        return True
    # Three numbers are as good as many.
    numbers = sum(1 for _ in islice(_NUMBER.finditer(lower), 3))
    if numbers > 1 and any(question in lower for question in _QUANTITY_QUESTIONS):
        return True
    return numbers > 0 and _MEASURE.search(lower) is not None and numbers + len(words & _RELATION_WORDS) > 2


def _steps(excerpt: Excerpt, words: set[str], east_asian: bool) -> float:
    """Several things to do, one after the other or side by side."""
    lower = excerpt.lower
    steps = len(words & _SEQUENCE_WORDS) + sum(max(lower.count(mark) - 1, 0) for mark in "?？")
    if east_asian:
        steps += _kinds(_SEQUENCE_EAST_ASIAN, lower)
    if "\n" in lower:
        steps += sum(_STEP.match(line) is not None for line in lower.splitlines())
    return min(_STEP_EACH * steps, _STEPS_AT_MOST)


def _hits(phrases: tuple[str, ...], text: str) -> int:
    return sum(phrase in text for phrase in phrases)


def _kinds(words: re.Pattern[str], text: str) -> int:
    """How many different ones of the words occur."""
    return len(set(words.findall(text)))


def label_of(score: float) -> str:
    """The score as "simple", "moderate" or "complex"."""
    if score < MODERATE_FROM:
        return SIMPLE
    return MODERATE if score < COMPLEX_FROM else COMPLEX


def _size(excerpt: Excerpt) -> float:
    """Nothing for a line or two, the most from about 10,000 characters on. East Asian characters count threefold."""
    length = excerpt.length
    if not excerpt.text.isascii():
        length = length * len(excerpt.text.encode("utf-8", "surrogatepass")) // len(excerpt.text)
    return min(max(math.log2(max(length, 1) / 160), 0.0) * 0.05, _SIZE_AT_MOST)
