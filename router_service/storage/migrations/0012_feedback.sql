-- What somebody made of a call's answer, one row for each source and author. `started_us` is when the call began: what
-- is kept of it is kept for as long as the call is. The call may come after its feedback, on its way from the journal.
CREATE TABLE ledger_feedback (
    operation_id TEXT NOT NULL,
    source TEXT NOT NULL,
    author TEXT NOT NULL,
    request_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    given_us BIGINT NOT NULL,
    score DOUBLE PRECISION,
    thumbs TEXT NOT NULL,
    label TEXT NOT NULL,
    comment TEXT NOT NULL,
    PRIMARY KEY (operation_id, source, author)
);

CREATE INDEX ledger_feedback_by_time ON ledger_feedback (started_us);
