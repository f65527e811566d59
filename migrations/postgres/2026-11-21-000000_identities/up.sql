-- Identities: client certificates that others issued to us, and what uses them.
-- The SQLite twin has the same tables, columns and nullability; a test compares them.

CREATE TABLE identities (
    id BYTEA NOT NULL PRIMARY KEY,
    account_id BYTEA NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    -- A bundle of CAs to trust, without a key.
    is_ca BOOLEAN NOT NULL,
    -- PEM, the leaf first.
    certificates TEXT NOT NULL,
    -- PEM of the CAs to trust for its servers; empty for those of the system.
    trusted_ca TEXT NOT NULL,
    hosts TEXT NOT NULL,
    is_primary BOOLEAN NOT NULL,
    labels TEXT NOT NULL,
    subject TEXT NOT NULL,
    issuer TEXT NOT NULL,
    common_name TEXT NOT NULL,
    serial BYTEA NOT NULL,
    signature TEXT NOT NULL,
    key_type TEXT NOT NULL,
    fingerprint_sha256 BYTEA NOT NULL,
    spki_sha256 BYTEA NOT NULL,
    subject_alternative_names TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    sealed_key BYTEA,
    key_version INTEGER,
    -- The last expiry notice that was given, in days before the end.
    expiry_notice SMALLINT,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX identities_by_account ON identities (account_id, id);
CREATE INDEX identities_by_fingerprint ON identities (account_id, fingerprint_sha256);
CREATE INDEX identities_by_end ON identities (not_after);
-- At most one primary in an account, whoever writes.
CREATE UNIQUE INDEX identities_primary ON identities (account_id) WHERE is_primary;

-- Identities whose certificate one of our own zones issues and the worker renews.
CREATE TABLE managed_identities (
    identity_id BYTEA NOT NULL PRIMARY KEY REFERENCES identities (id),
    account_id BYTEA NOT NULL REFERENCES accounts (id),
    zone_id BYTEA NOT NULL REFERENCES zones (id),
    certificate_id BYTEA NOT NULL,
    plan TEXT NOT NULL,
    renew_at BIGINT NOT NULL,
    retry_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL
);
CREATE INDEX managed_identities_by_certificate ON managed_identities (certificate_id);
CREATE INDEX managed_identities_by_renewal ON managed_identities (renew_at);

-- Certificates that a renewal replaced, to be revoked once whoever still presents them has had time to change.
CREATE TABLE supersessions (
    certificate_id BYTEA NOT NULL PRIMARY KEY,
    zone_id BYTEA NOT NULL REFERENCES zones (id),
    revoke_at BIGINT NOT NULL,
    reason SMALLINT NOT NULL
);
CREATE INDEX supersessions_by_time ON supersessions (revoke_at);

-- Who relies on an identity.
CREATE TABLE identity_associations (
    identity_id BYTEA NOT NULL REFERENCES identities (id),
    name TEXT NOT NULL,
    account_id BYTEA NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    link TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (identity_id, name)
);

-- API checks. What must not be read (header values, a body) is sealed; identity_id and trusted_ca_id are no foreign
-- keys, since an identity may be removed by force.
CREATE TABLE checks (
    id BYTEA NOT NULL PRIMARY KEY,
    account_id BYTEA NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    method TEXT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT,
    sealed_secrets BYTEA,
    key_version INTEGER,
    expectations TEXT NOT NULL,
    identity_mode SMALLINT NOT NULL,
    identity_id BYTEA,
    trusted_ca_id BYTEA,
    interval_seconds BIGINT,
    timeout_millis BIGINT NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    state SMALLINT,
    state_since BIGINT,
    last_run_at BIGINT,
    next_run_at BIGINT,
    lease_until BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX checks_by_account ON checks (account_id, id);
CREATE INDEX checks_by_time ON checks (next_run_at);
CREATE INDEX checks_by_identity ON checks (identity_id);

CREATE TABLE check_runs (
    check_id BYTEA NOT NULL REFERENCES checks (id),
    id BYTEA NOT NULL,
    account_id BYTEA NOT NULL REFERENCES accounts (id),
    state SMALLINT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (check_id, id)
);
