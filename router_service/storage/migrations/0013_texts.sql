-- Prompts and answers of a share of the calls, only where the operator has them recorded. `expires_us` is when a row is
-- deleted, whatever the configuration says by then.
CREATE TABLE ledger_texts (
    operation_id TEXT PRIMARY KEY,
    started_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    feature TEXT NOT NULL,
    prompt TEXT NOT NULL,
    answer TEXT NOT NULL,
    is_cut BIGINT NOT NULL
);

CREATE INDEX ledger_texts_by_expiry ON ledger_texts (expires_us);
CREATE INDEX ledger_texts_by_tenant ON ledger_texts (tenant);

-- A tenant's texts that were erased stay away, also those of calls before then that a journal brings later.
CREATE TABLE ledger_text_erasures (
    tenant TEXT PRIMARY KEY,
    before_us BIGINT NOT NULL
);
