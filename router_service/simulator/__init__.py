"""A simulated OpenAI-compatible provider with scripted faults and a journal, for trying, testing and measuring."""

from router_service.simulator.faults import ErrorStyle, Fault, FaultKind
from router_service.simulator.journal import Entry, Journal, Outcome
from router_service.simulator.models import BULK, DEFAULT_MODELS, SimulatedModel
from router_service.simulator.script import Rule, Script
from router_service.simulator.server import INSTANT, Simulator

__all__ = [
    "BULK",
    "DEFAULT_MODELS",
    "INSTANT",
    "Entry",
    "ErrorStyle",
    "Fault",
    "FaultKind",
    "Journal",
    "Outcome",
    "Rule",
    "Script",
    "SimulatedModel",
    "Simulator",
]
