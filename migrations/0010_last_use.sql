-- When a credential was last used, to the minute; and what ends soon.
ALTER TABLE credentials ADD COLUMN last_used_at timestamptz;
CREATE INDEX credentials_ending ON credentials (expires_at) WHERE revoked_at IS NULL;
CREATE INDEX credentials_of_tenant_ending ON credentials (org_id, expires_at) WHERE revoked_at IS NULL;
