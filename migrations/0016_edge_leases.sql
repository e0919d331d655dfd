-- Calls that edges were granted before they admit them. A row makes a question
-- count once and its settlement too; a settlement that comes before its question
-- leaves a row with nothing granted, which refuses the question.
CREATE TABLE edge_leases (
    edge_id       uuid        NOT NULL,
    lease_id      uuid        NOT NULL,
    org_id        uuid        NOT NULL,
    client_id     uuid        NOT NULL,
    granted       bigint      NOT NULL CHECK (granted >= 0),
    -- NULL until it is settled.
    used          bigint      CHECK (used BETWEEN 0 AND granted),
    -- The window, and the length of it, where the client's minute was debited too.
    window_index  bigint,
    window_ms     bigint      NOT NULL,
    -- The day that it was debited from, Unix milliseconds, and the hot store's
    -- beginning: what was not used comes back to that day of that store alone.
    day_starts_ms bigint      NOT NULL,
    epoch         bigint      NOT NULL,
    ends_at       timestamptz NOT NULL,
    PRIMARY KEY (edge_id, lease_id)
);
CREATE INDEX edge_leases_open ON edge_leases (org_id, ends_at) WHERE used IS NULL;
CREATE INDEX edge_leases_ends ON edge_leases (ends_at);
