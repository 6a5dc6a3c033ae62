"""The sentences from which simulated answers are made: data. `{topic}` stands for a word of the prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """The material of one language; `space` goes between two sentences."""

    space: str
    unsure: tuple[str, ...]
    refusals: tuple[str, ...]
    weak: tuple[str, ...]
    thoughts: tuple[str, ...]
    openings: Mapping[str, tuple[str, ...]]
    bodies: Mapping[str, tuple[str, ...]]
    closings: tuple[str, ...]
    result: str


STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "about after again also and answer any are because been before being below between both but can "
        "classify could does doing draft each explain exactly following from give have help here how "
        "into just like list make more most must need only other over please reply review same should "
        "some such summarise summarize tell than that their them then there these they this those "
        "through translate under until very want were what when where which while will with works would "
        "write your yours",
    )
)

LABEL_HINTS: Mapping[str, tuple[str, ...]] = {
    "account": ("login", "log in", "password", "sign in"),
    "billing": ("invoice", "charge", "refund", "payment", "paid"),
    "bug": ("error", "crash", "fails", "broken", "freez"),
    "complaint": ("disappoint", "unacceptable", "angry", "third time"),
    "delivery": ("parcel", "package", "shipment", "courier", "arrived"),
    "feature": ("would be nice", "could you add", "wish"),
    "negative": ("bad", "slow", "disappoint", "terrible", "never again"),
    "positive": ("great", "love", "perfect", "happy", "thank"),
    "praise": ("great", "love", "perfect", "thank"),
    "urgent": ("immediately", "asap", "right now", "outage"),
}
"""What in a text speaks for a label."""

ENGLISH = Phrases(
    space=" ",
    unsure=(
        "I'm not sure.",
        "I'm not sure I can help with that.",
        "I don't know enough to answer this well.",
        "I don't know.",
    ),
    refusals=(
        "I'm sorry, but I can't help with that.",
        "I'm unable to answer this request.",
    ),
    weak=(
        "It depends on the {topic}, but usually it is fine.",
        "The {topic} is probably the main point here. You may want to check it.",
        "Maybe look at the {topic} first. I think that helps in most cases.",
        "I believe this is about {topic}. It should work if you try again.",
    ),
    thoughts=(
        "First, what is actually asked about {topic}?",
        "Let me check the assumption behind {topic} before I rely on it.",
        "An alternative reading would change {topic}, but the wording speaks against it.",
        "If {topic} holds, the rest follows; let me look for a counterexample.",
        "The simplest consistent answer keeps {topic} fixed and varies the rest.",
    ),
    openings={
        "explanation": (
            "In short, it comes down to {topic}.",
            "The key idea is {topic}.",
            "Here is how {topic} works.",
        ),
        "code": ("The change is close, but {topic} needs attention.", "I read the code with {topic} in mind."),
        "summary": ("Summary: the text is mainly about {topic}.", "The main points:"),
        "draft": ("Hello, thank you for your message about {topic}.", "Hi there, a short note on {topic}."),
        "translation": ("Translated faithfully, keeping {topic} as it is:", "Here is the translation:"),
        "list": ("Here are some options around {topic}:", "A few ideas, the most useful first:"),
        "image": ("The picture shows a small, simple graphic.", "I can see a plain image with few colours."),
    },
    bodies={
        "explanation": (
            "Start from {topic}: it sets what is possible and what is not.",
            "The cost of {topic} grows slowly at first and then quickly.",
            "In practice, {topic} matters less than how often it changes.",
            "A common mistake is to treat {topic} as fixed.",
            "Measure {topic} before and after, so that the effect can be told from chance.",
            "Where {topic} is uncertain, choose what can be undone.",
        ),
        "code": (
            "`{topic}` is read without a check; an empty value would raise here.",
            "The loop around `{topic}` does the same work twice; keep the result.",
            "Name `{topic}` for what it holds, not for its type.",
            "Add a test for the case in which `{topic}` is missing.",
            "Two callers may change `{topic}` at the same time; take the lock around both steps.",
            "Close the resource in a `finally`, or use a context manager.",
        ),
        "summary": (
            "The customer's concern is {topic}.",
            "Work on {topic} has begun and is not finished.",
            "The next step is to confirm {topic}.",
            "No cost was named for {topic}.",
            "Both sides agree on {topic}.",
        ),
        "draft": (
            "We looked into {topic} and found the cause.",
            "You do not need to do anything about {topic}.",
            "Should {topic} come up again, just answer this message.",
            "We are sorry for the trouble with {topic}.",
            "From next week on, {topic} will be simpler.",
        ),
        "translation": (
            "{topic} was kept as a proper term.",
            "The tone stays friendly.",
            "The sentence order follows usage.",
        ),
        "list": (
            "Begin with {topic}; it is cheap to try.",
            "Ask three users about {topic}.",
            "Write down what {topic} should achieve.",
            "Remove what {topic} makes unnecessary.",
            "Compare {topic} with last month.",
        ),
        "image": (
            "The background is a single colour.",
            "There is one shape near the middle.",
            "There is no readable text.",
            "Nothing in it points to {topic}.",
        ),
    },
    closings=(
        "I would begin with the first point; it decides the others.",
        "If {topic} differs in your case, the second point changes.",
        "In sum: small steps, measured, with {topic} in view.",
    ),
    result="{left} {sign} {right} = {result}.",
)

CHINESE = Phrases(
    space="",
    unsure=("我不确定。", "这个问题我不太清楚。"),
    refusals=("抱歉，我无法回答这个问题。",),
    weak=("这主要取决于{topic}，一般没有问题。", "可以先看看{topic}，大概会有帮助。"),
    thoughts=("先弄清{topic}到底在问什么。", "如果{topic}成立，后面的结论也成立。", "再检查一下{topic}有没有反例。"),
    openings={
        "explanation": ("简单来说，关键在于{topic}。", "核心是{topic}。"),
        "code": ("这段代码的主要问题在{topic}。",),
        "summary": ("摘要：主要内容是{topic}。",),
        "draft": ("您好，关于{topic}，我们已经收到您的消息。",),
        "translation": ("译文如下，{topic}保持原意：",),
        "list": ("关于{topic}，有以下建议：",),
        "image": ("图中是一个简单的图形。",),
    },
    bodies={
        "explanation": (
            "先确定{topic}的范围，再做决定。",
            "{topic}的成本一开始增长缓慢，之后会加快。",
            "常见的错误是把{topic}当作不变的。",
            "建议在修改前后都测量{topic}。",
            "如果{topic}不确定，就选择可以撤回的方案。",
        ),
        "draft": ("我们已经查明{topic}的原因。", "您无需为{topic}做任何操作。", "如有其他问题，请直接回复。"),
        "list": ("先从{topic}开始，成本最低。", "向三位用户了解{topic}。", "把{topic}与上个月比较。"),
    },
    closings=("总之，先做第一步，再根据{topic}调整。",),
    result="{left} {sign} {right} = {result}。",
)
