-- What tenants' policies need: versions, compiled modules, and what a tier allows.

ALTER TABLE tiers
    -- The largest module of a tenant's, in bytes; 0 for no modules at all.
    ADD COLUMN policy_bytes     integer NOT NULL DEFAULT 1048576 CHECK (policy_bytes BETWEEN 0 AND 1048576),
    -- Of how many decisions a day, for a tenant, the input is kept for replays.
    ADD COLUMN samples_per_day  integer NOT NULL DEFAULT 10000 CHECK (samples_per_day BETWEEN 0 AND 100000);
UPDATE tiers SET samples_per_day = 1000 WHERE tier = 'free';

-- What a tenant uploaded: a module with its settings. Only the state ever changes.
CREATE TABLE policy_versions (
    org_id        uuid        NOT NULL REFERENCES tenants,
    -- SHA-256 (hex) of module, settings and claims together: the version's name.
    digest        text        NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    module_digest text        NOT NULL REFERENCES policy_modules,
    settings      jsonb       NOT NULL,
    -- Which claims it may put under `ext`.
    claims        text[]      NOT NULL,
    state         text        NOT NULL CHECK (state IN ('uploaded', 'checked', 'refused', 'shadow', 'active', 'retired')),
    -- Why it was refused.
    reason        text        CHECK ((reason IS NOT NULL) = (state = 'refused')),
    uploaded_by   uuid,
    uploaded_at   timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    -- When it last became active.
    activated_at  timestamptz,
    PRIMARY KEY (org_id, digest)
);
CREATE UNIQUE INDEX policy_versions_one_active ON policy_versions (org_id) WHERE state = 'active';
CREATE UNIQUE INDEX policy_versions_one_shadow ON policy_versions (org_id) WHERE state = 'shadow';
CREATE INDEX policy_versions_in_order ON policy_versions (org_id, uploaded_at);
CREATE INDEX policy_versions_of_module ON policy_versions (module_digest);

-- Modules as machine code, for every replica of the same build. `mac` holds what
-- wrote them to a key that the database does not have.
CREATE TABLE policy_artifacts (
    module_digest text        NOT NULL REFERENCES policy_modules ON DELETE CASCADE,
    -- SHA-256 (hex) of the compiler's version and settings.
    engine        text        NOT NULL,
    artifact      bytea       NOT NULL,
    mac           bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (module_digest, engine)
);

-- Decisions whose input was kept, and those where the version in shadow differed.
CREATE INDEX audit_events_with_input ON audit_events (org_id, event_id) WHERE details ? 'input';
CREATE INDEX audit_events_with_shadow ON audit_events (org_id, event_id) WHERE details ? 'shadow';

-- Who administers agents administers policies too.
UPDATE agents
   SET scopes = scopes || ARRAY (SELECT unnest(ARRAY['policies:read', 'policies:write']) EXCEPT SELECT unnest(scopes))
 WHERE 'agents:write' = ANY (scopes);
