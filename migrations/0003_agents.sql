-- Everybody who gets tokens: agents, administrators, the operator.
CREATE TABLE agents (
    -- UUIDv7; it is the client_id too.
    agent_id       uuid        PRIMARY KEY,
    org_id         uuid        NOT NULL REFERENCES tenants,
    name           text        NOT NULL,
    agent_type     text        NOT NULL,
    version        text        NOT NULL,
    capabilities   text[]      NOT NULL,
    owner          text        NOT NULL,
    deployment_env text        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('active', 'suspended', 'decommissioned')),
    -- What it may ask for.
    scopes         text[]      NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX agents_of_tenant ON agents (org_id, agent_id);
-- A decommissioned agent keeps its record and gives up its name.
CREATE UNIQUE INDEX agents_name_unique ON agents (org_id, name) WHERE status <> 'decommissioned';
