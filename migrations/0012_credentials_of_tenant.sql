-- A tenant's own list of credentials reads its own rows and no others.
DROP INDEX credentials_of_tenant_ending;
CREATE INDEX credentials_of_tenant ON credentials (org_id, credential_id);
