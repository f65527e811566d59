-- Ids are 16 bytes, times Unix milliseconds, kinds and states small numbers (their meaning stands in src/domain).
-- The PostgreSQL twin has the same tables, columns and nullability; a test compares them.

CREATE TABLE accounts (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- The account of the first start, whose administrators make other accounts.
    is_operator BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX accounts_by_name ON accounts (name);

CREATE TABLE zones (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX zones_by_name ON zones (account_id, name);

-- Which master key the sealed keys of this store belong to: the check value opens under that key alone.
CREATE TABLE master_keys (
    version INTEGER NOT NULL PRIMARY KEY,
    check_value BLOB NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE authorities (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    zone_id BLOB REFERENCES zones (id),
    parent_id BLOB REFERENCES authorities (id),
    name TEXT NOT NULL,
    state SMALLINT NOT NULL,
    key_type TEXT NOT NULL,
    serial BLOB NOT NULL,
    certificate BLOB NOT NULL,
    sealed_key BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    ski BLOB NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX authorities_by_zone ON authorities (zone_id);
CREATE INDEX authorities_by_account ON authorities (account_id);

-- A rowid table: its rows are large, and every look-up names the zone.
CREATE TABLE certificates (
    id BLOB NOT NULL,
    zone_id BLOB NOT NULL REFERENCES zones (id),
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    serial BLOB NOT NULL,
    der BLOB NOT NULL,
    csr TEXT NOT NULL,
    ski BLOB NOT NULL,
    fingerprint_sha256 BLOB NOT NULL,
    spki_sha256 BLOB NOT NULL,
    signature TEXT NOT NULL,
    common_name TEXT NOT NULL,
    subject TEXT NOT NULL,
    subject_alternative_names TEXT NOT NULL,
    profile TEXT NOT NULL,
    validity_days INTEGER NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    status SMALLINT NOT NULL,
    version INTEGER NOT NULL,
    revocation_reason SMALLINT,
    revocation_requested_at BIGINT,
    revoked_at BIGINT,
    revocation_crl_number BIGINT,
    receipt_status SMALLINT,
    receipt_crl_number BIGINT,
    receipt_published_at BIGINT
);
CREATE UNIQUE INDEX certificates_by_zone ON certificates (zone_id, id);
CREATE UNIQUE INDEX certificates_by_serial ON certificates (authority_id, serial);
CREATE INDEX certificates_by_status ON certificates (zone_id, status, id);
CREATE INDEX certificates_by_common_name ON certificates (zone_id, common_name);
CREATE INDEX certificates_by_end ON certificates (zone_id, not_after);
CREATE INDEX certificates_by_fingerprint ON certificates (fingerprint_sha256);

-- Totals by zone and status, kept in the transaction that changes them: no list ever counts rows.
CREATE TABLE certificate_counters (
    zone_id BLOB NOT NULL REFERENCES zones (id),
    status SMALLINT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (zone_id, status)
);

-- At most one requested change of status for each certificate.
CREATE TABLE transitions (
    certificate_id BLOB NOT NULL PRIMARY KEY,
    zone_id BLOB NOT NULL,
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    serial BLOB NOT NULL,
    status SMALLINT NOT NULL,
    version INTEGER NOT NULL,
    reason SMALLINT NOT NULL,
    requested_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL
);
CREATE INDEX transitions_by_authority ON transitions (authority_id, requested_at);

-- What the last CRL of each authority lists: the narrow table that CRLs are made from.
CREATE TABLE revocations (
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    serial BLOB NOT NULL,
    certificate_id BLOB NOT NULL,
    zone_id BLOB NOT NULL,
    reason SMALLINT NOT NULL,
    revoked_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    PRIMARY KEY (authority_id, serial)
) WITHOUT ROWID;

CREATE TABLE crls (
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    number BIGINT NOT NULL,
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (authority_id, number)
);

-- One row for each authority: its last CRL, and the lease of the worker that publishes the next one.
CREATE TABLE publications (
    authority_id BLOB NOT NULL PRIMARY KEY REFERENCES authorities (id),
    number BIGINT NOT NULL,
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    lease_owner BLOB,
    lease_until BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    retry_at BIGINT NOT NULL
);

CREATE TABLE tokens (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    value_sha256 BLOB NOT NULL,
    permissions TEXT NOT NULL,
    zones TEXT,
    not_before BIGINT,
    expires_at BIGINT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX tokens_by_value ON tokens (value_sha256);
CREATE INDEX tokens_by_account ON tokens (account_id);

CREATE TABLE idempotency_keys (
    token_id BLOB NOT NULL,
    key_sha256 BLOB NOT NULL,
    request_sha256 BLOB NOT NULL,
    zone_id BLOB NOT NULL,
    certificate_id BLOB NOT NULL,
    messages TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (token_id, key_sha256)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Keys that no certificate of the account is issued for any more.
CREATE TABLE blocked_keys (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    spki_sha256 BLOB NOT NULL,
    reason SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, spki_sha256)
);

CREATE TABLE hostname_associations (
    zone_id BLOB NOT NULL REFERENCES zones (id),
    mtls_certificate_id TEXT NOT NULL,
    hostnames TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (zone_id, mtls_certificate_id)
);

CREATE TABLE audit_events (
    id BLOB NOT NULL,
    at BIGINT NOT NULL,
    account_id BLOB NOT NULL,
    zone_id BLOB,
    actor_token_id BLOB,
    actor_name TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    result SMALLINT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_events_by_account ON audit_events (account_id, at);
