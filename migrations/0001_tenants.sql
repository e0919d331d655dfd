-- Tenants, their tiers, and the modules that decide for a tier.

-- The contract's name for the history; sqlx keeps it in a table of its own.
CREATE VIEW schema_migrations AS
SELECT lpad(version::text, 4, '0') || '_' || replace(description, ' ', '_') AS name,
       installed_on AS applied_at
  FROM _sqlx_migrations
 WHERE success;

-- Compiled WebAssembly components, by the SHA-256 of their bytes. A row is never
-- changed: tokens name the digest that decided.
CREATE TABLE policy_modules (
    digest     text        PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    component  bytea       NOT NULL,
    -- Made with the service, and replaced by its next version.
    built_in   boolean     NOT NULL,
    created_at timestamptz NOT NULL
);

-- The numbers of each tier, an operator's to change. NULL is no limit.
CREATE TABLE tiers (
    tier                text    PRIMARY KEY,
    calls_per_day       bigint  CHECK (calls_per_day >= 0),
    tokens_per_day      bigint  CHECK (tokens_per_day >= 0),
    tokens_per_month    bigint  CHECK (tokens_per_month >= 0),
    requests_per_minute integer CHECK (requests_per_minute >= 0),
    token_lifetime_s    integer NOT NULL DEFAULT 3600 CHECK (token_lifetime_s BETWEEN 1 AND 86400),
    -- The module that decides; `agentidp migrate` sets the built-in one where
    -- an operator has set none.
    module_digest       text    REFERENCES policy_modules
);

INSERT INTO tiers (tier, calls_per_day, tokens_per_day, tokens_per_month, requests_per_minute) VALUES
    ('free',        1000,  1000,  10000,   100),
    ('pro',        50000, 25000, 500000,  1000),
    ('enterprise',  NULL,  NULL,   NULL, 10000),
    ('platform',    NULL,  NULL,   NULL,  NULL);

CREATE TABLE tenants (
    org_id     uuid        PRIMARY KEY,
    name       text        NOT NULL,
    status     text        NOT NULL CHECK (status IN ('active', 'suspended')),
    -- The operator's own tenant, made by `agentidp bootstrap`.
    platform   boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX tenants_one_platform ON tenants (platform) WHERE platform;

CREATE TABLE tenant_tiers (
    org_id     uuid        PRIMARY KEY REFERENCES tenants,
    tier       text        NOT NULL REFERENCES tiers,
    changed_at timestamptz NOT NULL
);
CREATE INDEX tenant_tiers_tier ON tenant_tiers (tier);
