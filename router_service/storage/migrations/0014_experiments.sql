-- Arms of experiments, and shadow calls: operations of their own, which name the call that they are a copy of.
ALTER TABLE ledger_operations ADD COLUMN experiment TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger_operations ADD COLUMN arm TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger_operations ADD COLUMN arm_honoured BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ledger_operations ADD COLUMN arm_key TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger_operations ADD COLUMN shadow TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger_operations ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger_operations ADD COLUMN quality TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger_operations ADD COLUMN quality_score DOUBLE PRECISION;
ALTER TABLE ledger_operations ADD COLUMN parent_score DOUBLE PRECISION;

CREATE INDEX ledger_operations_by_experiment ON ledger_operations (experiment, started_us) WHERE experiment <> '';
CREATE INDEX ledger_operations_by_shadow ON ledger_operations (shadow, started_us) WHERE shadow <> '';
