-- Revocation at any size: what each CRL changed, shards, OCSP responders, bulk jobs, the numbered events and webhooks.
-- The PostgreSQL twin has the same tables, columns and nullability; a test compares them.

-- How many shards the authority's CRL is also published in (0: none), and the address below which they are: fixed when
-- the authority is made, since certificates carry it.
ALTER TABLE authorities ADD COLUMN crl_shards INTEGER NOT NULL DEFAULT 0;
ALTER TABLE authorities ADD COLUMN crl_shard_url TEXT;
CREATE INDEX authorities_by_parent ON authorities (parent_id, serial);

-- Since when the key is believed to be in wrong hands (RFC 5280, 5.3.2).
ALTER TABLE certificates ADD COLUMN invalidity_at BIGINT;
CREATE INDEX certificates_by_key ON certificates (zone_id, spki_sha256);
-- How long a retired authority is needed.
CREATE INDEX certificates_by_authority ON certificates (authority_id, not_after);

-- The bulk job that asked for it: such transitions wait behind those that were asked for one by one.
ALTER TABLE transitions ADD COLUMN job_id BLOB;
ALTER TABLE transitions ADD COLUMN invalidity_at BIGINT;
DROP INDEX transitions_by_authority;
CREATE INDEX transitions_by_authority ON transitions (authority_id, job_id, requested_at);
CREATE INDEX transitions_by_job ON transitions (job_id);

-- What is revoked under each authority, by shard (0 where there are none): what CRLs are made from and OCSP answers by.
-- Rows stay after the certificate's end, when they are no longer listed.
ALTER TABLE revocations RENAME TO revocations_before;
CREATE TABLE revocations (
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    shard INTEGER NOT NULL,
    serial BLOB NOT NULL,
    certificate_id BLOB NOT NULL,
    zone_id BLOB NOT NULL,
    reason SMALLINT NOT NULL,
    revoked_at BIGINT NOT NULL,
    invalidity_at BIGINT,
    not_after BIGINT NOT NULL,
    is_listed BOOLEAN NOT NULL,
    PRIMARY KEY (authority_id, shard, serial)
) WITHOUT ROWID;
INSERT INTO revocations (authority_id, shard, serial, certificate_id, zone_id, reason, revoked_at, not_after, is_listed)
    SELECT authority_id, 0, serial, certificate_id, zone_id, reason, revoked_at, not_after, TRUE FROM revocations_before;
DROP TABLE revocations_before;
CREATE INDEX revocations_by_end ON revocations (authority_id, is_listed, not_after);

-- What each CRL number changed in the list; a row without a reason says that the entry left it. Kept from the base of the
-- delta CRLs on.
CREATE TABLE crl_changes (
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    number BIGINT NOT NULL,
    serial BLOB NOT NULL,
    reason SMALLINT,
    revoked_at BIGINT,
    invalidity_at BIGINT,
    PRIMARY KEY (authority_id, number, serial)
) WITHOUT ROWID;

-- The last CRL of each scope: -1 is the complete one, -2 the delta, from 0 the shards. The entries of long lists are not
-- repeated here: a CRL is `head`, the listed revocations in order, `tail`. Where `is_whole`, `head` is all of it.
ALTER TABLE crls RENAME TO crls_before;
CREATE TABLE crls (
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    scope INTEGER NOT NULL,
    number BIGINT NOT NULL,
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    -- The address in the issuingDistributionPoint; none for a CRL over everything.
    distribution_point TEXT,
    is_whole BOOLEAN NOT NULL,
    head BLOB NOT NULL,
    tail BLOB NOT NULL,
    entries_length BIGINT NOT NULL,
    PRIMARY KEY (authority_id, scope)
);
INSERT INTO crls (authority_id, scope, number, this_update, next_update, is_whole, head, tail, entries_length)
    SELECT authority_id, -1, number, this_update, next_update, TRUE, der, X'', 0 FROM crls_before AS last
    WHERE number = (SELECT MAX(number) FROM crls_before AS other WHERE other.authority_id = last.authority_id);
DROP TABLE crls_before;

-- The base of the delta CRLs, and the thisUpdate of the oldest CRL that is in force in any scope.
ALTER TABLE publications ADD COLUMN base_number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE publications ADD COLUMN base_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE publications ADD COLUMN oldest_update BIGINT NOT NULL DEFAULT 0;
UPDATE publications SET base_number = number, base_at = this_update, oldest_update = this_update;

-- The delegated certificates that OCSP answers are signed with. Short-lived; those that have ended are forgotten later.
CREATE TABLE ocsp_responders (
    authority_id BLOB NOT NULL REFERENCES authorities (id),
    serial BLOB NOT NULL,
    certificate BLOB NOT NULL,
    key_type TEXT NOT NULL,
    sealed_key BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (authority_id, serial)
);

-- Changes asked of many certificates at once. Counts grow, and last_certificate moves, in the transactions that do the work.
CREATE TABLE bulk_jobs (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    zone_id BLOB NOT NULL REFERENCES zones (id),
    action SMALLINT NOT NULL,
    reason SMALLINT,
    invalidity_at BIGINT,
    selector TEXT NOT NULL,
    state SMALLINT NOT NULL,
    total BIGINT NOT NULL,
    processed BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    last_certificate BLOB,
    actor_token_id BLOB,
    actor_name TEXT NOT NULL,
    source TEXT NOT NULL,
    failure TEXT,
    attempts INTEGER NOT NULL,
    retry_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT
);
CREATE INDEX bulk_jobs_by_zone ON bulk_jobs (zone_id, id);
CREATE INDEX bulk_jobs_by_state ON bulk_jobs (state, id);

-- What others may want to hear of, numbered in the order of the commits. Written in the transaction of what it tells.
-- Without a zone it belongs to the account as a whole.
CREATE TABLE events (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    account_id BLOB NOT NULL,
    zone_id BLOB,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_by_zone ON events (account_id, zone_id, number);

-- Up to which end the certificates of a zone have been told of: one row for each notice, in days. Of those that end at
-- that very moment, up to `told_certificate`; none: all of them.
CREATE TABLE expiry_notices (
    zone_id BLOB NOT NULL REFERENCES zones (id),
    within_days SMALLINT NOT NULL,
    told_until BIGINT NOT NULL,
    told_certificate BLOB,
    PRIMARY KEY (zone_id, within_days)
);
-- In the order in which they are told of: very many may end at one moment.
DROP INDEX certificates_by_end;
CREATE INDEX certificates_by_end ON certificates (zone_id, not_after, id);

CREATE TABLE webhooks (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    zone_id BLOB NOT NULL REFERENCES zones (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- JSON; an empty list is every kind.
    kinds TEXT NOT NULL,
    -- Whether it also hears of what belongs to the account as a whole.
    hears_account BOOLEAN NOT NULL,
    -- PEM; empty for the system's.
    trusted_ca TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    -- The last event that was delivered or passed over.
    last_event BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    retry_at BIGINT NOT NULL,
    failing_since BIGINT,
    lease_until BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX webhooks_by_zone ON webhooks (zone_id, id);

CREATE TABLE webhook_deliveries (
    webhook_id BLOB NOT NULL REFERENCES webhooks (id),
    id BLOB NOT NULL,
    zone_id BLOB NOT NULL,
    first_event BIGINT NOT NULL,
    last_event BIGINT NOT NULL,
    event_count INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at BIGINT NOT NULL,
    duration_millis BIGINT NOT NULL,
    status INTEGER,
    failure TEXT,
    PRIMARY KEY (webhook_id, id)
);
