-- Places of the edge are listed and end. One that was revoked stays on record, and
-- its name is free.
ALTER TABLE edges
    -- When the feed was last asked for, to the minute.
    ADD COLUMN last_seen_at timestamptz,
    ADD COLUMN revoked_at   timestamptz,
    DROP CONSTRAINT edges_place_unique;
CREATE UNIQUE INDEX edges_place_unique ON edges (place) WHERE revoked_at IS NULL;

-- Operators that there are hold the scopes for it, as new ones do.
UPDATE agents
   SET scopes = scopes || ARRAY['edges:read', 'edges:write']
 WHERE 'tenants:write' = ANY (scopes) AND NOT 'edges:write' = ANY (scopes);
