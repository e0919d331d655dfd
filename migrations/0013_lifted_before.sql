-- When an entry was lifted before it was made again: the tokens that were got in
-- between may be dated a little after that, and must not outlive the next lifting.
ALTER TABLE revocations ADD COLUMN lifted_before timestamptz;
CREATE INDEX revocations_of_tenant ON revocations (org_id) WHERE kind IN ('agent', 'tenant');
