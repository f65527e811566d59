//! A store with very many revoked certificates, made by SQL from a real one: a server would take an hour to come there.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query};

use super::Outcome;
use super::api::Zone;

/// The copies are of the one that is older than all others; each has a serial number, an id, and hashes of its own. What
/// they are copied from stays as it is.
///
/// No audit events are made up: nothing here reads them.
const CERTIFICATES: &str = "
    WITH RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
    INSERT INTO copies SELECT n,
        unhex(printf('%012x70008000', {now} - {count} + n)) || randomblob(6),
        unhex(printf('%02x', 1 + abs(random() % 127))) || randomblob(15), abs(random() % 4294967296), {reason}
        FROM numbers;

    INSERT INTO certificates (id, zone_id, authority_id, serial, der, csr, ski, fingerprint_sha256, spki_sha256, signature,
        common_name, subject, subject_alternative_names, profile, validity_days, not_before, not_after, created_at,
        status, version, revocation_reason, revocation_requested_at, revoked_at, revocation_crl_number,
        receipt_status, receipt_crl_number, receipt_published_at)
    SELECT copies.id, zone_id, authority_id, copies.start || unhex(printf('%08x', copies.low)), der, csr, ski, randomblob(32),
        randomblob(32), signature, printf('device-%07d', n), subject, subject_alternative_names, profile, validity_days,
        not_before, not_after, created_at, {state}
    FROM copies CROSS JOIN (SELECT * FROM certificates WHERE zone_id = unhex('{zone}') ORDER BY id LIMIT 1);

    INSERT INTO certificate_counters (zone_id, status, total) VALUES (unhex('{zone}'), {status}, {count})
        ON CONFLICT DO UPDATE SET total = total + {count};";

const REVOCATIONS: &str = "
    INSERT INTO revocations (authority_id, shard, serial, certificate_id, zone_id, reason, revoked_at, not_after, is_listed)
    SELECT authority_id, low % {shards} AS shard, start || unhex(printf('%08x', low)) AS serial, copies.id, zone_id, reason,
        {now} - n % 1000 * 1000, not_after, TRUE
    FROM copies CROSS JOIN
        (SELECT authority_id, zone_id, not_after FROM certificates WHERE zone_id = unhex('{zone}') ORDER BY id LIMIT 1)
    ORDER BY shard, serial;";

/// From the status to the receipt.
const ACTIVE: &str = "0, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL";
const REVOKED: &str = "2, 2, copies.reason, {now}, {now}, {number}, 2, {number}, {now}";

/// Nothing of this survives a crash halfway, and nothing has to.
const FAST: &str = "
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY;
    CREATE TEMP TABLE copies (n INTEGER PRIMARY KEY, id BLOB, start BLOB, low INTEGER, reason INTEGER);";

/// Every reason but a hold, in turn: one in five entries without the extension.
const REASON: &str = "(n % 5 + 1) * (n % 5 < 4)";

/// What is put into a zone.
#[derive(Clone, Copy, Debug)]
pub struct Certificates {
    pub count: u32,
    pub shards: Option<u32>,
    pub are_revoked: bool,
}

/// How often publishing has come round.
#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// A line of what SQLite has in mind for a query.
#[derive(QueryableByName)]
pub struct Step {
    #[diesel(sql_type = Text)]
    pub detail: String,
}

/// A look into the database beside the server.
pub struct Database(SqliteConnection);

impl Database {
    pub fn open(path: &Path) -> Outcome<Self> {
        let mut connection = SqliteConnection::establish(path.to_str().ok_or("the path is not UTF-8")?)?;
        connection.batch_execute("PRAGMA busy_timeout = 60000;")?;
        Ok(Self(connection))
    }

    /// Puts certificates into a zone that has one. If they are revoked, the next publication carries them, and is asked
    /// for. The server must be down.
    pub fn seed(&mut self, zone: &Zone, certificates: Certificates, now: i64) -> Outcome<()> {
        let Certificates { count, shards, are_revoked } = certificates;
        let number = self.number(zone)?;
        let (status, state, more) = if are_revoked { ("2", REVOKED, REVOCATIONS) } else { ("0", ACTIVE, "") };
        let script = [CERTIFICATES, more]
            .concat()
            .replace("{state}", state)
            .replace("{status}", status)
            .replace("{count}", &count.to_string())
            .replace("{now}", &(now / 1000 * 1000).to_string())
            .replace("{reason}", REASON)
            .replace("{zone}", &zone.id)
            .replace("{shards}", &shards.unwrap_or(1).to_string())
            .replace("{number}", &number.to_string());
        self.0.batch_execute(FAST)?;
        self.0.batch_execute(&format!("BEGIN; {script} COMMIT; DROP TABLE copies;"))?;
        self.call_for_publication(zone)
    }

    /// Has the authority's CRLs signed anew.
    pub fn call_for_publication(&mut self, zone: &Zone) -> Outcome<()> {
        let authority = zone.authority.replace('-', "");
        let call = format!("UPDATE publications SET oldest_update = 0 WHERE authority_id = unhex('{authority}');");
        Ok(self.0.batch_execute(&call)?)
    }

    /// Has every CRL of the authority signed anew, the shards too.
    pub fn call_for_everything(&mut self, zone: &Zone) -> Outcome<()> {
        let authority = zone.authority.replace('-', "");
        let age = format!("UPDATE crls SET this_update = 0 WHERE authority_id = unhex('{authority}') AND scope >= 0;");
        self.0.batch_execute(&age)?;
        self.call_for_publication(zone)
    }

    /// The number of the last CRL of the zone's authority.
    pub fn number(&mut self, zone: &Zone) -> Outcome<i64> {
        let authority = zone.authority.replace('-', "");
        let query = format!("SELECT number FROM publications WHERE authority_id = unhex('{authority}')");
        Ok(sql_query(query).get_result::<Number>(&mut self.0)?.number)
    }

    /// How many changes wait to be published.
    pub fn waiting(&mut self) -> Outcome<i64> {
        Ok(sql_query("SELECT COUNT(*) AS number FROM transitions").get_result::<Number>(&mut self.0)?.number)
    }

    /// How many revocations the zone's authority lists.
    pub fn listed(&mut self, zone: &Zone) -> Outcome<i64> {
        let authority = zone.authority.replace('-', "");
        let query = format!(
            "SELECT COUNT(*) AS number FROM revocations WHERE authority_id = unhex('{authority}') AND is_listed"
        );
        Ok(sql_query(query).get_result::<Number>(&mut self.0)?.number)
    }
}
