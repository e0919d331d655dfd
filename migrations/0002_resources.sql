-- The audiences that a tenant protects (RFC 8707), with their scopes.
CREATE TABLE resources (
    resource_id uuid        PRIMARY KEY,
    org_id      uuid        NOT NULL REFERENCES tenants,
    identifier  text        NOT NULL,
    -- The identifier as every normalising reader would have it.
    spelling    text        NOT NULL,
    name        text        NOT NULL,
    scopes      text[]      NOT NULL,
    is_default  boolean     NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    -- In the whole deployment: a token's audience names one tenant's resource.
    CONSTRAINT resources_identifier_unique UNIQUE (spelling)
);
CREATE INDEX resources_of_tenant ON resources (org_id, resource_id);
CREATE UNIQUE INDEX resources_one_default ON resources (org_id) WHERE is_default;
