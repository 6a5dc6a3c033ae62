"""The report as one HTML file: it needs no server and no network, and shows hostile text as text.

A content security policy allows the style and the script of this page by their hashes and nothing else, so that what
slipped through the escaping could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import islice

from router_service.lab.comparison import Comparison, Standing, Summary
from router_service.lab.markup import safe
from router_service.lab.plot import COLOURS, plot
from router_service.lab.report import (
    PER,
    Report,
    caveats,
    conclusions,
    cost_text,
    difference_text,
    failures_text,
    interval_text,
    seconds_text,
    standing_text,
)
from router_service.lab.trials import Trial
from router_service.spend.money import usd

_ASSETS = files("router_service.lab") / "assets"
# From so far apart on, two qualities are a disagreement.
_APART = 0.25
# More of them no browser shows with grace.
_MOST_SHOWN = 2_000
_BADGES = {
    Standing.MEETS: ("good", "meets the bar"),
    Standing.REFERENCE: ("good", "reference"),
    Standing.CANNOT_TELL: ("open", "cannot tell"),
    Standing.DOES_NOT: ("bad", "does not"),
}


def page(report: Report) -> str:
    """The whole document."""
    style, script = ((_ASSETS / name).read_text("utf-8") for name in ("page.css", "page.js"))
    comparison = report.comparison
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    compared = "prompts" if report.recorded is None else "calls"
    first, *others = conclusions(report)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{safe(report.title)} · evaluation</title>",
        f"<style>{style}</style></head><body><main>",
        f'<header><p class="kicker">Evaluation</p><h1>{safe(report.title)}</h1>',
        f'<p class="quiet">{comparison.prompts:,} {compared}, {len(comparison.summaries)} subjects, '
        f"bar: {safe(str(comparison.bar))}, confidence {comparison.confidence:.0%}</p></header>",
        f'<section class="conclusion"><p>{safe(first)}</p>{_list(others)}</section>',
        *_figure(comparison),
        *_subjects(comparison),
        *_features(comparison),
        *_failures(comparison),
        *_judging(report),
        f"<section><h2>To be read with this</h2>{_list(caveats(report))}</section>",
        *_answers(report),
        f"</main><script>{script}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{safe(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _figure(comparison: Comparison) -> Iterator[str]:
    drawn = plot(comparison)
    if drawn:
        yield f'<section><h2>Cost and quality</h2><figure class="wide" tabindex="0">{drawn}</figure>'
        yield (
            '<p class="quiet">Lines are 95% confidence intervals. A full point meets the bar, or is what it is '
            "measured by; of a hollow one that is not known, or known not to be so.</p></section>"
        )


def _subjects(comparison: Comparison) -> Iterator[str]:
    yield "<section><h2>By subject</h2>"
    yield from _table(
        ("", "standing", "quality (95%)", "from the best", f"per {PER:,} calls", "spent", "median", "p95",
         "first output", "answered", "evidence"),
        (
            (
                _name(comparison, summary.subject),
                _badge(comparison, summary.subject),
                safe(interval_text(summary.quality)),
                safe(difference_text(against))
                if (against := comparison.against_best.get(summary.subject))
                else ("best" if summary.subject == comparison.best else "-"),
                cost_text(summary.cost),
                usd(summary.total_cost) + (f" + {summary.unpriced} unknown" if summary.unpriced else ""),
                *_latencies(summary),
                _answered(summary),
                safe(", ".join(f"{source} {count}" for source, count in summary.sources.items())),
            )
            for summary in comparison.summaries
        ),
    )  # fmt: skip
    yield '<ul class="standings">'
    for verdict in comparison.verdicts:
        yield f"<li>{_name(comparison, verdict.subject)} {safe(standing_text(verdict, comparison.counted))}</li>"
    yield "</ul></section>"


def _answered(summary: Summary) -> str:
    return f"{summary.answered:,} of {summary.calls:,}"


def _latencies(summary: Summary) -> tuple[str, str, str]:
    return (
        seconds_text(summary.latency_median),
        seconds_text(summary.latency_p95),
        seconds_text(summary.first_output_median),
    )


def _features(comparison: Comparison) -> Iterator[str]:
    if len(comparison.features) < 2:
        return
    yield "<section><h2>By feature</h2>"
    yield from _table(
        ("feature", "", "quality (95%)", f"per {PER:,} calls", "median", "p95", "first output", "answered"),
        (
            (
                "" if at else safe(feature or "(none)"),
                _name(comparison, summary.subject),
                safe(interval_text(summary.quality)),
                cost_text(summary.cost),
                *_latencies(summary),
                _answered(summary),
            )
            for feature, summaries in comparison.features.items()
            for at, summary in enumerate(summaries)
        ),
    )
    yield "</section>"


def _failures(comparison: Comparison) -> Iterator[str]:
    failing = [summary for summary in comparison.summaries if summary.failures]
    if failing:
        yield "<section><h2>Failures</h2>"
        yield from _table(
            ("", "calls", "without an answer", "reasons"),
            (
                (
                    _name(comparison, summary.subject),
                    f"{summary.calls:,}",
                    f"{summary.calls - summary.answered:,}",
                    safe(failures_text(summary.failures)),
                )
                for summary in failing
            ),
        )
        yield "</section>"


def _judging(report: Report) -> Iterator[str]:
    judging = report.judging
    if judging is not None:
        unpriced = f", and {judging.unpriced:,} calls of unknown cost" if judging.unpriced else ""
        yield (
            f"<section><h2>Judge</h2><p>{safe(judging.judge)} graded {judging.graded:,} answers for "
            f"{usd(judging.cost)}{unpriced}, which is in no subject's cost. It saw no names.</p></section>"
        )


def _answers(report: Report) -> Iterator[str]:
    by_prompt: dict[str, list[Trial]] = {}
    for trial in report.trials:
        by_prompt.setdefault(trial.prompt_id, []).append(trial)
    features = sorted({trial.feature for trial in report.trials})
    options = "".join(f'<option value="{safe(feature)}">{safe(feature or "(none)")}</option>' for feature in features)
    yield (
        '<section><h2>Answers</h2><div class="filters" id="filters" hidden>'
        f'<label>feature <select id="feature"><option value="*">all</option>{options}</select></label>'
        '<label><input type="checkbox" id="apart"> only disagreements</label>'
        '<label><input type="checkbox" id="failed"> only failures</label>'
        '<label>contains <input type="search" id="words"></label><output id="count"></output></div>'
    )
    order = {summary.subject: at for at, summary in enumerate(report.comparison.summaries)}
    for prompt_id, trials in islice(by_prompt.items(), _MOST_SHOWN):
        yield from _prompt(report.comparison, prompt_id, sorted(trials, key=lambda trial: order[trial.subject]))
    if len(by_prompt) > _MOST_SHOWN:
        yield f'<p class="quiet">{len(by_prompt) - _MOST_SHOWN:,} more are in the JSON report.</p>'
    yield "</section>"


def _prompt(comparison: Comparison, prompt_id: str, trials: Sequence[Trial]) -> Iterator[str]:
    first = trials[0]
    marks = (
        f"{' data-apart' if _is_apart(trials) else ''}{' data-failed' if any(not t.answered for t in trials) else ''}"
    )
    asked = next((trial.prompt for trial in trials if trial.prompt is not None), None)
    yield (
        f'<article class="prompt" data-feature="{safe(first.feature)}"{marks}><h3>{safe(prompt_id)}'
        f'<span class="quiet"> {safe(first.feature)}</span></h3>'
    )
    yield '<p class="quiet">the prompt is not known</p>' if asked is None else _text(asked)
    yield '<div class="answers">'
    for trial in trials:
        yield f'<div class="answer c{_colour(comparison, trial.subject)}"><h4>{_name(comparison, trial.subject)}'
        quality = "" if trial.quality is None else f"{trial.quality:.2f} <small>{trial.source or ''}</small>"
        yield f'<span class="quality {_grade(trial.quality)}">{quality or "no grade"}</span></h4>'
        if trial.error:
            yield f'<p class="failure">{safe(trial.error)}</p>'
        elif trial.answer is None:
            yield '<p class="quiet">the answer is not known</p>'
        else:
            yield _text(trial.answer)
        cost = trial.cost_status if trial.cost is None else usd(trial.cost)
        told = (cost, seconds_text(trial.latency), " → ".join(trial.path), trial.request_id)
        yield f'<p class="quiet account">{safe(" · ".join(one for one in told if one))}</p></div>'
    yield "</div></article>"


def _is_apart(trials: Sequence[Trial]) -> bool:
    qualities = [trial.quality for trial in trials if trial.quality is not None]
    return bool(qualities) and max(qualities) - min(qualities) >= _APART


def _text(text: str) -> str:
    return f'<pre dir="auto">{safe(text)}</pre>' if text.strip() else '<p class="quiet">(empty)</p>'


def _grade(quality: float | None) -> str:
    return "open" if quality is None else "good" if quality >= 0.75 else "bad" if quality < 0.5 else "open"


def _name(comparison: Comparison, subject: str) -> str:
    return f'<span class="subject c{_colour(comparison, subject)}">{safe(subject)}</span>'


def _colour(comparison: Comparison, subject: str) -> int:
    return [summary.subject for summary in comparison.summaries].index(subject) % COLOURS


def _badge(comparison: Comparison, subject: str) -> str:
    kind, told = _BADGES[comparison.verdict(subject).standing]
    chosen = " chosen" if subject == comparison.chosen else ""
    return f'<span class="badge {kind}{chosen}">{told}</span>'


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Cells are HTML already."""
    head = "".join(f'<th scope="col">{header}</th>' for header in headers)
    yield f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>'
    for row in rows:
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"
