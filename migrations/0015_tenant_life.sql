-- A tenant's settings and its end; lists of tenants by tier and by status.
ALTER TABLE tenants
    -- The longest life of a token, in seconds, within the tier's. NULL is the tier's.
    ADD COLUMN token_lifetime_s integer CHECK (token_lifetime_s BETWEEN 1 AND 86400),
    -- When it and all that is its own is deleted.
    ADD COLUMN deletes_at       timestamptz,
    DROP CONSTRAINT tenants_status_check,
    ADD CONSTRAINT tenants_status_check CHECK (status IN ('active', 'suspended', 'deleting')),
    ADD CONSTRAINT tenants_deleting CHECK ((status = 'deleting') = (deletes_at IS NOT NULL));
CREATE INDEX tenants_to_delete ON tenants (deletes_at) WHERE status = 'deleting';

-- A page of a list reads its own rows, in their order.
CREATE INDEX tenants_of_status ON tenants (status, org_id);
CREATE INDEX tenant_tiers_of_tier ON tenant_tiers (tier, org_id);
DROP INDEX tenant_tiers_tier;

-- A predecessor is found by its successor when that is deleted.
CREATE INDEX credentials_predecessors ON credentials (replaced_by) WHERE replaced_by IS NOT NULL;

-- A tier's own cap is one entry, however many tenants are on it: its id is the tier.
ALTER TABLE revocations
    DROP CONSTRAINT revocations_kind_check,
    ADD CONSTRAINT revocations_kind_check
        CHECK (kind IN ('token', 'grant', 'agent', 'tenant', 'cap', 'tier_cap')),
    DROP CONSTRAINT revocations_check,
    ADD CONSTRAINT revocations_check CHECK ((rpm IS NULL) = (kind NOT IN ('cap', 'tier_cap')));
