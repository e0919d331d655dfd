-- Client secrets. 256 random bits need no slow hash: SHA-256 is what is kept.
CREATE TABLE credentials (
    credential_id uuid        PRIMARY KEY,
    agent_id      uuid        NOT NULL REFERENCES agents,
    org_id        uuid        NOT NULL REFERENCES tenants,
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoked_by    uuid,
    created_at    timestamptz NOT NULL,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE INDEX credentials_of_agent ON credentials (agent_id, credential_id);
