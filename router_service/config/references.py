"""What the shapes cannot see: names that lead nowhere, rules that are never reached."""

from __future__ import annotations

from pathlib import Path

from router_service.config.credentials import check_files, check_secrets
from router_service.config.document import Document, Piece, PolicyPiece, nearest
from router_service.config.escalation_compilation import check_escalation
from router_service.config.escalation_shape import EscalationShape
from router_service.config.experiment_compilation import check_experiments, check_shadows
from router_service.config.identity_check import check_identity
from router_service.config.policy_shape import PolicyShape, RuleShape
from router_service.config.router_file import RouterFileError, is_router_file, read_router_file
from router_service.config.shape import ModelShape, ProviderShape
from router_service.config.source import Location, Source, dotted
from router_service.config.vendors import VENDORS, Vendor
from router_service.config.when_shape import WhenShape
from router_service.domain.classifier import HEURISTIC, LEARNED


def vendor_of(name: str, provider: ProviderShape) -> Vendor | None:
    """The provider's row of the preset table; `None` where it names a row that does not exist."""
    if provider.preset is not None:
        return VENDORS.get(provider.preset)
    return VENDORS.get(name, VENDORS["custom"])


def check_references(source: Source, document: Document, directory: Path) -> None:
    """Note in the source every reference that leads nowhere. `directory` is where relative files are looked for."""
    if source.data:
        for section in ("providers", "models", "policies"):
            if section not in source.data:
                source.report((section,), "is required", _FIRST_LINES[section])
            elif not source.data[section]:
                source.report((section,), "is empty", _FIRST_LINES[section])
    for name, provider in document.providers.items():
        _check_provider(source, name, provider)
    for model in document.models.values():
        _check_model(source, model, document)
    check_secrets(source, document)
    check_files(source, document, directory)
    check_identity(source, document, directory)
    names = _Names(document)
    for policy in document.policies.values():
        _check_policy(source, policy, names)
        _check_classifier(source, policy, names, directory)
    _check_default_policy(source, document)


_FIRST_LINES = {
    "providers": 'Write for example `providers: {openai: {api_key: "${OPENAI_API_KEY}"}}`',
    "models": "Write for example `models: {gpt-4o: {provider: openai}}`",
    "policies": "Write for example `policies: {default: {rules: [{use: gpt-4o}]}}`",
}


class _Names:
    """What `use` and `baseline` may name, and the most output tokens that each allows, where stated."""

    def __init__(self, document: Document) -> None:
        self.limits: dict[str, list[int | None]] = {}
        for name, piece in document.models.items():
            limit = piece.shape.max_output_tokens if piece.shape else None
            self.limits.setdefault(name, []).append(limit)
            if piece.shape and piece.shape.model and piece.shape.model != name:
                self.limits.setdefault(piece.shape.model, []).append(limit)

    def report_unknown(self, source: Source, location: Location, name: str) -> None:
        fix = nearest(name, self.limits) or "Name a deployment under `models`, or the `model` of one"
        source.report(location, f"there is no model or deployment {name}", fix)


def _check_provider(source: Source, name: str, piece: Piece[ProviderShape]) -> None:
    provider = piece.shape
    if provider is None or "preset" in piece.dropped:
        return
    vendor = vendor_of(name, provider)
    if vendor is None:
        preset = provider.preset or ""
        fix = nearest(preset, VENDORS) or f"Use one of {', '.join(VENDORS)}"
        source.report((*piece.at, "preset"), f"there is no preset {preset}", fix)
        return
    if provider.base_url is None and "base_url" not in piece.dropped:
        if not vendor.base_url:
            fix = nearest(name, VENDORS) if name not in VENDORS else ""
            fix = fix or "Give the URL up to, but without, /chat/completions"
            source.report((*piece.at, "base_url"), "is required: the provider is no preset", fix)
        elif "{resource}" in vendor.base_url and not provider.resource and "resource" not in piece.dropped:
            fix = f"Give `resource`, the name in {vendor.base_url}, or `base_url`"
            source.report((*piece.at, "resource"), "is required", fix)
    if (provider.client_cert_file is None) != (provider.client_key_file is None) and not piece.dropped & {
        "client_cert_file",
        "client_key_file",
    }:
        missing = "client_cert_file" if provider.client_cert_file is None else "client_key_file"
        message = "is required: a certificate and its key come together"
        source.report((*piece.at, missing), message, f"Write `{missing}:` and the path of its PEM file")


def _check_model(source: Source, piece: Piece[ModelShape], document: Document) -> None:
    model = piece.shape
    if model is None:
        return
    if model.provider not in document.providers:
        fix = nearest(model.provider, document.providers)
        if not fix:
            fix = f"Add `{model.provider}: {{}}` under `providers`" if model.provider in VENDORS else ""
        fix = fix or "Name one of `providers`, or add it there"
        source.report((*piece.at, "provider"), f"there is no provider {model.provider}", fix)
    if model.context_window and model.max_output_tokens and model.max_output_tokens > model.context_window:
        message = f"{model.max_output_tokens} is more than the context window of {model.context_window}"
        source.report((*piece.at, "max_output_tokens"), message, "An answer shares the window with its prompt")
    if model.price:
        starts = [tier.above_input_tokens for tier in model.price.tiers]
        if starts != sorted(set(starts)):
            fix = "Sort them by `above_input_tokens`, each once"
            source.report((*piece.at, "price", "tiers"), "the tiers are not in rising order", fix)


def _check_policy(source: Source, piece: PolicyPiece, names: _Names) -> None:
    policy, dropped = piece.policy.shape, piece.policy.dropped
    if policy and policy.baseline is not None and policy.baseline not in names.limits:
        names.report_unknown(source, (*piece.policy.at, "baseline"), policy.baseline)
    complexities = {one.lower() for one in policy.complexities} if policy and "complexities" not in dropped else None
    if policy and policy.escalate is not None:
        _check_escalation(source, (*piece.policy.at, "escalate"), policy.escalate, names, complexities)
    if policy is not None:
        _check_comparisons(source, piece.policy.at, policy, names, complexities)
    taken: dict[str, Location] = {}
    catch_all: Location | None = None
    for rule in piece.rules:
        if catch_all is not None:
            message = f"is never reached: {dotted(catch_all)} before it matches every call"
            source.report(rule.at, message, "Move the rule that matches always to the end")
        if rule.shape is None:
            continue
        _check_rule(source, rule, rule.shape, names, complexities)
        name = rule.shape.name
        if name and name in taken:
            source.report((*rule.at, "name"), f"{name} is the name of {dotted(taken[name])} too", "Names are unique")
        taken.setdefault(name or "", rule.at)
        if catch_all is None and "when" not in rule.dropped and _matches_always(rule.shape):
            catch_all = rule.at


def _check_classifier(source: Source, piece: PolicyPiece, names: _Names, directory: Path) -> None:
    policy = piece.policy.shape
    if policy is None or "classifier" in piece.policy.dropped:
        return
    at = (*piece.policy.at, "classifier")
    for number, name in enumerate(policy.classifier.llm.use if policy.classifier.llm else ()):
        if name not in names.limits:
            names.report_unknown(source, source.known((*at, "llm", "use", number)), name)
    for name in (policy.classifier.use, policy.classifier.then or HEURISTIC):
        if is_router_file(name):
            try:
                read_router_file(directory / name, name)
            except OSError as exc:
                fix = f"Write {HEURISTIC}, {LEARNED}, llm or the path of a file that `llmrouter train` wrote"
                source.report(at, f"cannot read {name}: {exc.strerror}", fix)
            except RouterFileError as error:
                source.report(at, f"{name} {error}", "Train it anew with `llmrouter train`")


def _matches_always(rule: RuleShape) -> bool:
    return not rule.when.model_dump(exclude_defaults=True)


def _check_rule(
    source: Source, rule: Piece[RuleShape], shape: RuleShape, names: _Names, complexities: set[str] | None
) -> None:
    if not shape.use:
        source.report((*rule.at, "use"), "names no model", "Name at least one model or deployment")
    for number, name in enumerate(shape.use):
        if name not in names.limits:
            names.report_unknown(source, source.known((*rule.at, "use", number)), name)
    for number, name in enumerate(shape.then):
        if name not in names.limits:
            names.report_unknown(source, source.known((*rule.at, "then", number)), name)
    if shape.max_output_tokens:
        limits = [limit for name in (*shape.use, *shape.then) for limit in names.limits.get(name, [None])]
        known = [limit for limit in limits if limit is not None]
        if known and len(known) == len(limits) and shape.max_output_tokens > max(known):
            message = f"{shape.max_output_tokens} is more than any of the rule's models allows ({max(known)})"
            source.report((*rule.at, "max_output_tokens"), message, "Lower it")
    if shape.escalate is not None:
        _check_escalation(source, (*rule.at, "escalate"), shape.escalate, names, complexities)
    _check_when(source, (*rule.at, "when"), shape.when, complexities)


def _check_when(source: Source, at: Location, when: WhenShape, complexities: set[str] | None) -> None:
    if when.complexity:
        for label in (*(when.complexity.any_of or ()), *when.complexity.none_of):
            _check_complexity(source, (*at, "complexity"), label, complexities)
    if when.language:
        for tag in (*(when.language.any_of or ()), *when.language.none_of):
            if "-" in tag or "_" in tag:
                fix = f"Write {tag.replace('_', '-').split('-')[0]}"
                source.report((*at, "language"), f"{tag} never matches: only the primary tag counts", fix)


def _check_complexity(source: Source, at: Location, label: str, complexities: set[str] | None) -> None:
    if complexities is not None and label.lower() not in complexities:
        fix = nearest(label, complexities) or "Add it to the policy's `complexities`"
        source.report(at, f"{label} is no complexity of this policy", fix)


def _check_escalation(
    source: Source, at: Location, shape: EscalationShape, names: _Names, complexities: set[str] | None
) -> None:
    def report_unless_known(location: Location, name: str) -> None:
        if name not in names.limits:
            names.report_unknown(source, location, name)

    check_escalation(
        source,
        at,
        shape,
        report_unless_known=report_unless_known,
        report_no_complexity=lambda location, label: _check_complexity(source, location, label, complexities),
    )


def _check_comparisons(
    source: Source, at: Location, policy: PolicyShape, names: _Names, complexities: set[str] | None
) -> None:
    """Experiments and shadows."""

    def report_unless_known(location: Location, name: str) -> None:
        if name not in names.limits:
            names.report_unknown(source, location, name)

    def check_when(location: Location, when: WhenShape) -> None:
        _check_when(source, location, when, complexities)

    check_experiments(
        source,
        (*at, "experiments"),
        policy.experiments,
        report_unless_known=report_unless_known,
        check_when=check_when,
        check_escalation=lambda where, shape: _check_escalation(source, where, shape, names, complexities),
    )
    check_shadows(
        source, (*at, "shadow"), policy.shadow, report_unless_known=report_unless_known, check_when=check_when
    )


def _check_default_policy(source: Source, document: Document) -> None:
    name, known = document.default_policy, document.policies
    if name is not None and name not in known:
        source.report(
            ("default_policy",), f"there is no policy {name}", nearest(name, known) or "Name one of `policies`"
        )
    elif name is None and "default_policy" not in source.data and len(known) > 1 and "default" not in known:
        fix = f"Name one of {', '.join(known)}, or call one `default`"
        source.report(("default_policy",), "is required where there are several policies", fix)
