-- The record: an event for every change and every issuance, never changed.
-- An issuance's event_id is the token's jti.
CREATE TABLE audit_events (
    event_id    uuid        PRIMARY KEY,
    occurred_at timestamptz NOT NULL,
    org_id      uuid        NOT NULL,
    -- Who did it; NULL where the command line or the service itself did.
    actor       uuid,
    action      text        NOT NULL,
    -- What it was done to.
    subject     text        NOT NULL,
    details     jsonb       NOT NULL
);
CREATE INDEX audit_events_of_tenant ON audit_events (org_id, event_id);

CREATE FUNCTION audit_events_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are never changed or deleted';
END $$;
CREATE TRIGGER audit_events_are_final BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_are_final();
CREATE TRIGGER audit_events_are_not_truncated BEFORE TRUNCATE ON audit_events
    EXECUTE FUNCTION audit_events_are_final();
