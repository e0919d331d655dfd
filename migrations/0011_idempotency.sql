-- Creations that a client may repeat: what was answered to an Idempotency-Key.
CREATE TABLE idempotency_keys (
    actor          uuid        NOT NULL,
    key_sha256     bytea       NOT NULL CHECK (octet_length(key_sha256) = 32),
    -- Of the method, the path and the body.
    request_sha256 bytea       NOT NULL CHECK (octet_length(request_sha256) = 32),
    -- The answer, sealed: it may hold a secret. NULL while the creation goes on.
    answer         bytea,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (actor, key_sha256)
);
CREATE INDEX idempotency_keys_old ON idempotency_keys (created_at);
