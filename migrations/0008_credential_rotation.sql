-- A credential that was rotated names its successor; it is rotated once.
ALTER TABLE credentials ADD COLUMN replaced_by uuid REFERENCES credentials;
