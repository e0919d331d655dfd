-- The reports of edges that were counted: none is counted twice.
CREATE TABLE edge_reports (
    report_id   uuid        PRIMARY KEY,
    edge_id     uuid        NOT NULL REFERENCES edges,
    received_at timestamptz NOT NULL
);
CREATE INDEX edge_reports_received ON edge_reports (received_at);

-- Why a tenant's agents are refused at edges: how often in an hour.
CREATE TABLE edge_refusals (
    refusal_id uuid        PRIMARY KEY,
    org_id     uuid        NOT NULL REFERENCES tenants,
    hour       timestamptz NOT NULL,
    client_id  uuid        NOT NULL,
    reason     text        NOT NULL,
    refused    bigint      NOT NULL,
    CONSTRAINT edge_refusals_unique UNIQUE (org_id, hour, client_id, reason)
);
CREATE INDEX edge_refusals_of_tenant ON edge_refusals (org_id, refusal_id);
CREATE INDEX edge_refusals_hour ON edge_refusals (hour);

-- A signing key is revoked by its id.
ALTER TABLE revocations
    DROP CONSTRAINT revocations_kind_check,
    ADD CONSTRAINT revocations_kind_check
        CHECK (kind IN ('token', 'grant', 'agent', 'tenant', 'cap', 'tier_cap', 'key'));
