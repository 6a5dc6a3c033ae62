"""What `llmrouter explain` shows, apart from its command: routing is more than the other commands should wait for."""

from __future__ import annotations

from router_service.app import routing_table
from router_service.config.configuration import Configuration
from router_service.domain.call import Call
from router_service.routing.assess import assess
from router_service.routing.decide import decide
from router_service.routing.excerpt import last_said
from router_service.routing.explain import explain
from router_service.routing.world import World


def explanation(call: Call, configuration: Configuration) -> str:
    """The decision that a router of this configuration would start with; raises `RouterError`."""
    table = routing_table(configuration)
    decision = decide(call, assess(call, table), table, World())
    reasons = table.judge(decision.policy).reasons(last_said(call.chat.messages)) if decision.signals.classifier else ()
    return explain(decision, reasons)
