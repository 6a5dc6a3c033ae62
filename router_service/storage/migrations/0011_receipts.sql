-- Receipts are asked for by the caller's request id.
CREATE INDEX ledger_operations_by_request ON ledger_operations (request_id, tenant);
