"""Exports and the audit log, whatever database they lie in."""

from __future__ import annotations

import csv
import io
import json

import pytest
from ledger_values import START_US, closed, intent, opened, terminal

from router_service.ledger.audit import AuditEntry, AuditLog
from router_service.ledger.export import Exported, ExportFormat, export, pages

START = START_US / 1_000_000


async def exported(database, what, form, since=START, until=START + 60):
    out = io.StringIO()
    count = await export(database, what, form, since, until, out)
    return count, out.getvalue()


async def test_json_lines_hold_every_column(store, database):
    await store.add([opened(), intent(reserved_nano_usd=9), terminal(), closed()])
    count, text = await exported(database, Exported.ATTEMPTS, ExportFormat.JSONL)
    [row] = map(json.loads, text.splitlines())
    assert count == 1
    assert (row["attempt_id"], row["status"], row["cost_nano_usd"], row["reserved_nano_usd"]) == (
        "op-1-1",
        "settled",
        1_000,
        9,
    )
    assert (row["kind"], row["closed_by"], row["error_type"]) == ("completion", "router", "")


async def test_csv_has_a_head_and_no_formulas(store, database):
    await store.add([opened(feature="=1+1"), closed()])
    _, text = await exported(database, Exported.CALLS, ExportFormat.CSV)
    [row] = csv.DictReader(io.StringIO(text))
    assert (row["operation_id"], row["feature"], row["status"]) == ("op-1", "'=1+1", "OK")


async def test_a_long_export_holds_every_row_once(store, database, monkeypatch):
    monkeypatch.setattr("router_service.ledger.export._PAGE", 7)
    records = [opened(f"op-{number:03}", started_us=START_US + number // 10) for number in range(100)]
    await store.add(records)
    found = [row[0] async for page in pages(database, Exported.CALLS, START, START + 60) for row in page]
    assert found == [record.operation_id for record in records]


@pytest.mark.parametrize(("since", "until"), [(START - 60, START), (START + 1, START + 60)])
async def test_only_what_began_in_the_time_is_exported(store, database, since, until):
    await store.add([opened()])
    assert await exported(database, Exported.CALLS, ExportFormat.JSONL, since, until) == (0, "")


async def test_the_audit_log_keeps_each_entry_once_and_in_order(store, database):
    log = AuditLog(database)
    revoked = AuditEntry(entry_id="2", at=START + 1, actor="key:rk_1", action="key.revoke", subject="rk_2")
    reloaded = AuditEntry(
        entry_id="1",
        at=START,
        actor="file",
        action="configuration.reload",
        before_fingerprint="f00d",
        after_fingerprint="beef",
    )
    for entry in (revoked, reloaded, revoked):
        await log.add(entry)
    assert await log.entries(START, START + 60) == [reloaded, revoked]
    assert await log.entries(START, START + 60, start=1, count=1) == [revoked]
    assert await log.entries(START + 2, START + 60) == []
