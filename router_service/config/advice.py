"""What a file may say and hardly means: warnings, told from the file alone, that keep no router from serving."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from router_service.config.asking_shape import LabelShape
from router_service.config.configuration import Configuration
from router_service.config.document import Document
from router_service.config.escalation_shape import EscalationShape
from router_service.config.source import Location, Source, dotted
from router_service.domain.deployment import Capability, Deployment
from router_service.domain.identity import Names
from router_service.domain.limit import Budget, Dimension
from router_service.domain.policy import Policy
from router_service.domain.vendor import Auth

_SECRET_HEADER = re.compile(r"(?i)auth(?!ors?([-_]|$))|api-?key|(^|[-_])(key|token|secret|password)$")
_OWN_NETWORK = re.compile(r"(?i)[^.]*|.*\.(svc|local|localhost|internal)")


def advise(source: Source, document: Document, configuration: Configuration) -> None:
    """Note in the source what is hardly meant in a file without mistakes."""
    _secrets(source, document, configuration)
    _replicas(source, document)
    _prices(source, document, configuration)
    _grants(source, configuration)
    for policy in configuration.policies.values():
        _Policy(source, document, configuration, policy).advise()


def _secrets(source: Source, document: Document, configuration: Configuration) -> None:
    """Of a file that is in version control, or in a ConfigMap, whoever reads it has the secret."""
    for location, text in (*_provider_secrets(document, configuration), *_other_secrets(document)):
        at = source.known(location)
        if text and at not in source.references:
            source.warn(at, "is a secret in clear text", 'Put it into a variable and write "${NAME}", or into a file')


def _provider_secrets(document: Document, configuration: Configuration) -> Iterator[tuple[Location, str | None]]:
    for name, piece in document.providers.items():
        shape, settings = piece.usable, configuration.providers[name]
        at = ("providers", name)
        if settings.quirks.auth is not Auth.NONE and not _on_own_network(settings.base_url):
            yield (*at, "api_key"), shape.api_key
            yield from (((*at, "api_keys", number), key) for number, key in enumerate(shape.api_keys))
        yield from (((*at, "headers", key), text) for key, text in shape.headers.items() if _SECRET_HEADER.search(key))
        yield (*at, "proxy"), _with_password(shape.proxy)


def _other_secrets(document: Document) -> Iterator[tuple[Location, str | None]]:
    yield ("decision_tokens", "key"), document.decision_tokens.usable.key
    yield ("storage", "url"), _with_password(document.storage.usable.url)
    if document.redis is not None:
        yield ("redis", "url"), _with_password(document.redis.usable.url)
    headers = document.telemetry.usable.otlp_headers
    yield from (
        (("telemetry", "otlp_headers", key), text) for key, text in headers.items() if _SECRET_HEADER.search(key)
    )
    keys = document.identity.usable.api_keys
    at = ("identity", "api_keys")
    yield (*at, "pepper"), keys.pepper
    yield from (((*at, "previous_peppers", number), old) for number, old in enumerate(keys.previous_peppers))


def _on_own_network(url: str) -> bool:
    """A server of one's own that asks for a key, whatever it is, is given a word for one."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_private
    except ValueError:
        return _OWN_NETWORK.fullmatch(host) is not None


def _with_password(url: str | None) -> str | None:
    return url if url and urlsplit(url).password else None


def _replicas(source: Source, document: Document) -> None:
    tokens = document.decision_tokens.usable
    if document.redis is not None and document.redis.usable.replicas > 1 and not (tokens.key or tokens.key_file):
        source.warn(
            ("redis", "replicas"),
            "has several routers share Redis, and each makes its own key for decision tokens: a token of Route is good "
            "only where it was made",
            'Add `decision_tokens: {key: "${DECISION_TOKEN_KEY}"}`, the same in all of them',
        )


def _prices(source: Source, document: Document, configuration: Configuration) -> None:
    for name in document.models:
        deployment = configuration.deployments[name]
        if deployment.price is not None:
            continue
        budgets = [budget.name for budget in configuration.limits.budgets if _counts(budget, deployment)]
        if budgets:
            source.warn(
                ("models", name),
                f"has no price, so that its calls are not counted on {', '.join(sorted(budgets))}",
                "Give it a `price`: {input: 0, output: 0} where it is free",
            )


def _counts(budget: Budget, deployment: Deployment) -> bool:
    """Whether the deployment's calls are on the budget, whoever makes them; of others the file does not tell."""
    match = budget.scope.match
    return match.keys() <= {Dimension.MODEL} and deployment.model in match.get(Dimension.MODEL, {deployment.model})


def _grants(source: Source, configuration: Configuration) -> None:
    """What no caller may use; not told where callers are not all in the file."""
    identity = configuration.identity
    if identity.api_keys.database or identity.issuers:
        return
    grants = [caller.grants for caller in identity.api_keys.declared]
    grants += [caller.grants for caller in identity.spiffe.values()]
    grants += [identity.anonymous.grants] if identity.anonymous is not None else []
    fix = 'Grant it to somebody under `identity`, or remove it: what is not granted is denied, and "*" grants all'
    policies = _together(one.policies for one in grants)
    if policies is not None:
        for name in configuration.policies.keys() - policies:
            source.warn(("policies", name), "is granted to no caller", fix)
    models = _together(one.models for one in grants)
    if models is not None:
        own = {one.id for policy in configuration.policies.values() for one in _own(policy)}
        for name, deployment in configuration.deployments.items():
            if not {name, deployment.model} & models and name not in own:
                source.warn(("models", name), "is granted to no caller", fix)


def _together(grants: Iterable[Names]) -> Names:
    found: set[str] = set()
    for names in grants:
        if names is None:
            return None
        found |= names
    return frozenset(found)


def _own(policy: Policy) -> list[Deployment]:
    """Whom the router asks, or compares costs with, for itself: no caller needs a grant of them."""
    escalations = [policy.escalation, *(rule.escalation for rule in policy.rules)]
    escalations += [arm.escalation for experiment in policy.experiments for arm in experiment.arms]
    gates = [gate for one in escalations if one is not None for gate in one.gates]
    askings = [gate.panel.asking for gate in gates if gate.panel is not None]
    askings += [policy.classification.asking] if policy.classification.asking is not None else []
    baseline = [policy.baseline] if policy.baseline is not None else []
    return [*baseline, *(deployment for asking in askings for deployment in asking.deployments)]


class _Policy:
    """The warnings of one policy."""

    def __init__(self, source: Source, document: Document, configuration: Configuration, policy: Policy) -> None:
        self._source = source
        self._piece = document.policies[policy.name]
        self._at: Location = ("policies", policy.name)
        self._policy = policy
        self._named = {**{name: (one,) for name, one in configuration.deployments.items()}, **configuration.models}

    def advise(self) -> None:
        self._hidden_rules()
        self._classifier()
        self._judges()
        self._never_asked()

    def _hidden_rules(self) -> None:
        rules = self._policy.rules
        for number, rule in enumerate(rules):
            for earlier, other in enumerate(rules[:number]):
                if other.when.covers(rule.when):
                    self._source.warn(
                        (*self._at, "rules", number),
                        f"is never reached: {dotted((*self._at, 'rules', earlier))} before it matches every such call",
                        "Put the rule with more conditions first",
                    )
                    break

    def _classifier(self) -> None:
        shape = self._piece.policy.usable.classifier.llm
        for at, name in self._listed((*self._at, "classifier", "llm", "use"), shape.use if shape else ()):
            if all(Capability.REASONING in one.capabilities for one in self._named[name]):
                self._source.warn(
                    at,
                    f"{name} may reason before it answers: a label's few tokens are then spent, and it gives none",
                    "Name a model that answers at once, or say in its `capabilities` that it does not reason",
                )

    def _judges(self) -> None:
        policy, shape = self._policy, self._piece.policy.usable
        arms = [
            ((*self._at, "experiments", name, "arms", arm), one, experiment.arms[arm].escalate)
            for (name, experiment), compiled in zip(shape.experiments.items(), policy.experiments, strict=True)
            for arm, one in zip(experiment.arms, compiled.arms, strict=True)
        ]
        answering: list[Deployment] = []
        for rule, piece in zip(policy.rules, self._piece.rules, strict=True):
            if rule.escalation is None:
                answering += rule.candidates
            else:
                self._judge_of(piece.at, piece.usable.escalate, rule.candidates)
        for at, arm, escalate in arms:
            if arm.escalation is None:
                answering += arm.candidates
            else:
                self._judge_of(at, escalate, arm.candidates)
        self._judge_of(self._at, shape.escalate, answering)

    def _judge_of(self, at: Location, shape: EscalationShape | None, answering: Iterable[Deployment]) -> None:
        if shape is None:
            return
        judged = {one.model for one in answering} | {one.model for name in shape.to for one in self._named[name]}
        for number, gate in enumerate(shape.gates):
            use = (*at, "escalate", "gates", number, "use")
            self._excluded(use, gate.use or ())
            for here, name in self._listed(use, gate.use or ()):
                if judged & {one.model for one in self._named[name]}:
                    self._source.warn(
                        here,
                        f"{name} grades answers of its own: it is among those who answer",
                        "Let another model judge",
                    )

    def _never_asked(self) -> None:
        policy, shape = self._policy, self._piece.policy.usable
        for rule, piece in zip(policy.rules, self._piece.rules, strict=True):
            capped = policy.max_cost_nano_usd is not None or rule.max_cost_nano_usd is not None
            for key in ("use", "then"):
                self._excluded((*piece.at, key), getattr(piece.usable, key), capped=capped)
        if shape.escalate is not None:
            self._excluded(
                (*self._at, "escalate", "to"), shape.escalate.to, capped=policy.max_cost_nano_usd is not None
            )
        if isinstance(shape.classifier.llm, LabelShape):
            self._excluded((*self._at, "classifier", "llm", "use"), shape.classifier.llm.use)
        for name, shadow in shape.shadow.items():
            self._excluded((*self._at, "shadow", name, "use"), shadow.use)
            if all(one.price is None for model in shadow.use for one in self._named[model]):
                self._source.warn(
                    (*self._at, "shadow", name, "use"),
                    "names models without a price, which are not shadowed: what they cost could not be capped",
                    "Give them a `price` under `models`",
                )

    def _excluded(self, at: Location, names: Iterable[str], *, capped: bool = False) -> None:
        """Names of which the policy lets no deployment serve, whatever the call."""
        for here, name in self._listed(at, names):
            reasons = [self._why_not(one, capped=capped) for one in self._named[name]]
            if all(reasons):
                why, fix = next(reason for reason in reasons if reason)
                self._source.warn(here, f"{name} is never asked: {why}", fix)

    def _why_not(self, deployment: Deployment, *, capped: bool) -> tuple[str, str] | None:
        policy = self._policy
        if policy.regions and deployment.region not in policy.regions:
            where = f"its region is {deployment.region}" if deployment.region else "it has no region"
            return (
                f"{where}, and the policy allows {', '.join(sorted(policy.regions))}",
                "Name its `region`, or another model",
            )
        if not deployment.retention.within(policy.retention):
            kept = f"its provider keeps data ({deployment.retention}), and the policy allows {policy.retention}"
            return kept, "Say its `retention`, or name another model"
        if capped and deployment.price is None:
            return "it has no price, and `max_cost_usd` lets pass only what is known to cost less", "Give it a `price`"
        return None

    def _listed(self, at: Location, names: Iterable[str]) -> Iterator[tuple[Location, str]]:
        """Each name where it stands; a single one stands without a list."""
        for number, name in enumerate(names):
            yield self._source.known((*at, number)), name
