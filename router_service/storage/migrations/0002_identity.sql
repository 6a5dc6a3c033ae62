-- API keys. What a key may do is in `grants`, as JSON; the secret itself is nowhere.
CREATE TABLE api_keys (
    public_id TEXT PRIMARY KEY,
    secret_hash BYTEA NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    grants TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    replaces TEXT REFERENCES api_keys (public_id)
);

CREATE INDEX api_keys_by_tenant ON api_keys (tenant, created_at);
