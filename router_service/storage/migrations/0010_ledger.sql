-- The ledger: one row a call, one row an attempt, each in two halves that come one after the other. `closed_by` is NULL
-- until the second half is there. Times are microseconds, money is nano-USD. No prompt, no answer.
CREATE TABLE ledger_operations (
    operation_id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL DEFAULT '',
    started_us BIGINT NOT NULL DEFAULT 0,
    process TEXT NOT NULL DEFAULT '',
    tenant TEXT NOT NULL DEFAULT '',
    key_id TEXT NOT NULL DEFAULT '',
    feature TEXT NOT NULL DEFAULT '',
    tier TEXT NOT NULL DEFAULT '',
    task_type TEXT NOT NULL DEFAULT '',
    policy TEXT NOT NULL DEFAULT '',
    rule TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL DEFAULT '',
    asked_model TEXT NOT NULL DEFAULT '',
    asked_deployment TEXT NOT NULL DEFAULT '',
    asked_output_tokens BIGINT,
    max_cost_nano_usd BIGINT,
    stream BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    turns BIGINT NOT NULL DEFAULT 0,
    language TEXT NOT NULL DEFAULT '',
    complexity TEXT NOT NULL DEFAULT '',
    complexity_source TEXT NOT NULL DEFAULT '',
    asked_complexity TEXT NOT NULL DEFAULT '',
    needs TEXT NOT NULL DEFAULT '',
    labels TEXT NOT NULL DEFAULT '{}',
    status TEXT NOT NULL DEFAULT '',
    error_reason TEXT NOT NULL DEFAULT '',
    deployment TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    provider TEXT NOT NULL DEFAULT '',
    finish_reason TEXT NOT NULL DEFAULT '',
    attempts BIGINT NOT NULL DEFAULT 0,
    retries BIGINT NOT NULL DEFAULT 0,
    fallbacks BIGINT NOT NULL DEFAULT 0,
    cost_nano_usd BIGINT,
    cost_status TEXT NOT NULL DEFAULT '',
    baseline_nano_usd BIGINT,
    duration_us BIGINT,
    first_output_us BIGINT,
    trace_id TEXT NOT NULL DEFAULT '',
    closed_by TEXT
);

CREATE INDEX ledger_operations_by_time ON ledger_operations (started_us);
CREATE INDEX ledger_operations_open ON ledger_operations (started_us) WHERE closed_by IS NULL;

CREATE TABLE ledger_attempts (
    attempt_id TEXT PRIMARY KEY,
    operation_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    deployment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    process TEXT NOT NULL,
    reserved_nano_usd BIGINT,
    reserved_tokens BIGINT,
    price_version TEXT NOT NULL DEFAULT '',
    status TEXT,
    cost_status TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '',
    error_type TEXT NOT NULL DEFAULT '',
    finish_reason TEXT NOT NULL DEFAULT '',
    upstream_request_id TEXT NOT NULL DEFAULT '',
    response_model TEXT NOT NULL DEFAULT '',
    input_tokens BIGINT,
    output_tokens BIGINT,
    cached_input_tokens BIGINT,
    cache_write_tokens BIGINT,
    reasoning_tokens BIGINT,
    cost_nano_usd BIGINT,
    duration_us BIGINT,
    first_output_us BIGINT,
    closed_by TEXT
);

CREATE INDEX ledger_attempts_by_operation ON ledger_attempts (operation_id);
CREATE INDEX ledger_attempts_by_time ON ledger_attempts (started_us);
CREATE INDEX ledger_attempts_open ON ledger_attempts (started_us) WHERE closed_by IS NULL;

-- Who changed what: keys, budgets, the configuration. Before and after are fingerprints, never values.
CREATE TABLE audit_log (
    entry_id TEXT PRIMARY KEY,
    at_us BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before_fingerprint TEXT NOT NULL,
    after_fingerprint TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE INDEX audit_log_by_time ON audit_log (at_us);
