-- What replicas and edges follow by a cursor.

-- One row, the last number given. Whoever takes a number holds the row's lock
-- until its transaction ends, so numbers become visible in their order: a cursor
-- never passes an entry that is still to be committed.
CREATE TABLE change_head (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seq      bigint  NOT NULL
);
INSERT INTO change_head (seq) VALUES (0);

-- Clients whose cached entry is out of date: one agent's, a whole tenant's, or,
-- where a tier's numbers or module changed, everybody's.
CREATE TABLE client_changes (
    seq        bigint      PRIMARY KEY,
    org_id     uuid,
    agent_id   uuid,
    changed_at timestamptz NOT NULL
);

CREATE FUNCTION tiers_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    UPDATE change_head SET seq = seq + 1 RETURNING seq INTO number;
    INSERT INTO client_changes (seq, org_id, agent_id, changed_at) VALUES (number, NULL, NULL, now());
    RETURN NULL;
END $$;
CREATE TRIGGER tiers_changed AFTER INSERT OR UPDATE OR DELETE ON tiers
    FOR EACH STATEMENT EXECUTE FUNCTION tiers_changed();

-- What is revoked, an entry for each id; a change of an entry gives it a new
-- number. `id` is a jti, a grant's id, an agent_id or an org_id. A cap is no
-- revocation: it holds a tenant's older tokens to the limit of its new tier.
CREATE TABLE revocations (
    kind       text        NOT NULL CHECK (kind IN ('token', 'grant', 'agent', 'tenant', 'cap')),
    id         text        NOT NULL,
    org_id     uuid        NOT NULL,
    seq        bigint      NOT NULL UNIQUE,
    revoked_at timestamptz NOT NULL,
    lifted_at  timestamptz,
    rpm        integer     CHECK ((rpm IS NULL) = (kind <> 'cap')),
    -- When no token that could fall under it is alive any more.
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (kind, id)
);
