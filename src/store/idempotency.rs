//! Idempotency keys: which certificate a repeated POST is answered with.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Binary};

use crate::domain::id::{CertificateId, TokenId, ZoneId};

use super::Store;
use super::bulk_insert::{Row, Value};
use super::connection::Connection;
use super::convert::{certificate_id, damaged, from_json, millis, time, to_json, token_id, zone_id};
use super::error::StoreError;
use super::schema::idempotency_keys;

/// A caller's word that requests under this key are one and the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyClaim {
    pub token: TokenId,
    /// SHA-256 of the key; the key itself is the caller's and not kept.
    pub key_sha256: [u8; 32],
    /// SHA-256 over what was asked for, the zone included.
    pub request_sha256: [u8; 32],
    pub created_on: DateTime<Utc>,
}

/// What a claim is found by: whose key it is, and its hash.
pub(super) type Key = (TokenId, [u8; 32]);

impl IdempotencyClaim {
    pub(super) fn key(&self) -> Key {
        (self.token, self.key_sha256)
    }
}

/// The first result under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub request_sha256: Vec<u8>,
    pub zone: ZoneId,
    pub certificate: CertificateId,
    pub messages: Vec<String>,
    pub created_on: DateTime<Utc>,
}

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = idempotency_keys)]
struct ClaimedRow {
    token_id: Vec<u8>,
    key_sha256: Vec<u8>,
    request_sha256: Vec<u8>,
    zone_id: Vec<u8>,
    certificate_id: Vec<u8>,
    messages: String,
    created_at: i64,
}

impl ClaimedRow {
    fn into_domain(self) -> Result<(Key, Claimed), StoreError> {
        let key_sha256 = self.key_sha256.try_into().map_err(|_| damaged("the hash of an idempotency key"))?;
        let claimed = Claimed {
            request_sha256: self.request_sha256,
            zone: zone_id(&self.zone_id)?,
            certificate: certificate_id(&self.certificate_id)?,
            messages: from_json(&self.messages)?,
            created_on: time(self.created_at)?,
        };
        Ok(((token_id(&self.token_id)?, key_sha256), claimed))
    }
}

impl Store {
    /// The first result under the key, if the caller has used it since `oldest`.
    pub async fn claimed(&self, claim: IdempotencyClaim, oldest: DateTime<Utc>) -> Result<Option<Claimed>, StoreError> {
        self.read(move |connection| {
            let first = find(connection, &[&claim])?.remove(&claim.key());
            Ok(first.filter(|first| first.created_on >= oldest))
        })
        .await
    }

    /// Forgets keys that are older than `oldest`, hardly more than `limit` of them; how many there were. Everybody who writes
    /// waits meanwhile.
    pub async fn forget_idempotency_keys(&self, oldest: DateTime<Utc>, limit: i64) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let old = idempotency_keys::table.filter(idempotency_keys::created_at.lt(millis(oldest)));
            let last: Option<i64> = old
                .order(idempotency_keys::created_at)
                .offset(limit)
                .select(idempotency_keys::created_at)
                .first(connection)
                .optional()?;
            // All of one millisecond go together.
            let first = old.filter(idempotency_keys::created_at.le(last.unwrap_or(i64::MAX)));
            Ok(diesel::delete(first).execute(connection)?)
        })
        .await
    }
}

/// The keys of a batch of requests: the first results that are known, and those that the batch itself brings.
pub(super) struct Claims {
    known: HashMap<Key, Claimed>,
    taken: HashMap<Key, Claimed>,
}

impl Claims {
    pub(super) fn among<'a>(
        connection: &mut Connection,
        claims: impl Iterator<Item = &'a IdempotencyClaim>,
    ) -> Result<Self, StoreError> {
        let claims: Vec<&IdempotencyClaim> = claims.collect();
        let known = if claims.is_empty() { HashMap::new() } else { find(connection, &claims)? };
        Ok(Self { known, taken: HashMap::new() })
    }

    /// Takes the key with this result, unless it was taken since `oldest`: then that first result is returned.
    pub(super) fn take(&mut self, key: Key, result: Claimed, oldest: DateTime<Utc>) -> Option<Claimed> {
        let first = self.taken.get(&key).or_else(|| self.known.get(&key));
        if let Some(first) = first.filter(|first| first.created_on >= oldest) {
            return Some(first.clone());
        }
        self.taken.insert(key, result);
        None
    }

    /// What was taken, as it is inserted into `idempotency_keys`: each key once.
    pub(super) fn rows(&self) -> Result<Vec<Row<'_>>, StoreError> {
        self.taken.iter().map(|(key, first)| row(key, first)).collect()
    }
}

/// What the insertion of [`Claims::rows`] ends with: a key that has aged out is taken over.
pub(super) const TAKE_OVER: &str = "ON CONFLICT (token_id, key_sha256) DO UPDATE SET \
     request_sha256 = excluded.request_sha256, zone_id = excluded.zone_id, certificate_id = excluded.certificate_id, \
     messages = excluded.messages, created_at = excluded.created_at";

/// The first results under all these keys, however long ago.
fn find(connection: &mut Connection, claims: &[&IdempotencyClaim]) -> Result<HashMap<Key, Claimed>, StoreError> {
    let rows: Vec<ClaimedRow> = match connection {
        Connection::Sqlite(connection) => {
            let mut rows = Vec::new();
            for claim in claims {
                let row = idempotency_keys::table
                    .find((claim.token.as_bytes().as_slice(), claim.key_sha256.as_slice()))
                    .select(ClaimedRow::as_select())
                    .first(connection);
                rows.extend(row.optional()?);
            }
            rows
        }
        // One round trip, in which each pair is looked for as a pair.
        Connection::Postgres(connection) => {
            let (tokens, keys): (Vec<&[u8]>, Vec<&[u8]>) =
                claims.iter().map(|claim| (claim.token.as_bytes().as_slice(), claim.key_sha256.as_slice())).unzip();
            sql_query(
                "SELECT * FROM unnest($1::bytea[], $2::bytea[]) AS asked (token_id, key_sha256) \
                 JOIN idempotency_keys USING (token_id, key_sha256)",
            )
            .bind::<Array<Binary>, _>(tokens)
            .bind::<Array<Binary>, _>(keys)
            .load(connection)?
        }
    };
    rows.into_iter().map(ClaimedRow::into_domain).collect()
}

fn row<'a>((token, key_sha256): &'a Key, first: &'a Claimed) -> Result<Row<'a>, StoreError> {
    Ok(vec![
        ("token_id", Value::binary(token.as_bytes())),
        ("key_sha256", Value::binary(key_sha256)),
        ("request_sha256", Value::binary(&first.request_sha256)),
        ("zone_id", Value::binary(first.zone.as_bytes())),
        ("certificate_id", Value::binary(first.certificate.as_bytes())),
        ("messages", Value::Text(to_json(&first.messages)?.into())),
        ("created_at", Value::BigInt(millis(first.created_on))),
    ])
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn key(token: u128, number: u8) -> Key {
        (TokenId::new(Uuid::from_u128(token)), [number; 32])
    }

    /// Of the request whose number this is, so many hours after the beginning.
    fn result(request: u8, hours: i64) -> Claimed {
        Claimed {
            request_sha256: vec![request; 32],
            zone: ZoneId::new(Uuid::nil()),
            certificate: CertificateId::new(Uuid::from_u128(request.into())),
            messages: vec![format!("of request {request}")],
            created_on: DateTime::UNIX_EPOCH + TimeDelta::hours(hours),
        }
    }

    fn claims(known: impl IntoIterator<Item = (Key, Claimed)>) -> Claims {
        Claims { known: known.into_iter().collect(), taken: HashMap::new() }
    }

    const BEGINNING: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn the_first_of_a_batch_takes_the_key_and_the_others_get_its_result() {
        let mut claims = claims([]);
        assert_eq!(claims.take(key(1, 1), result(1, 0), BEGINNING), None);
        // Whether the second asked for the same is judged by who hears of the first.
        for again in [1, 2] {
            assert_eq!(claims.take(key(1, 1), result(again, 0), BEGINNING), Some(result(1, 0)));
        }
        assert_eq!(claims.rows().unwrap().len(), 1);
    }

    #[test]
    fn another_key_and_another_token_are_others() {
        let mut claims = claims([(key(1, 1), result(1, 0))]);
        for other in [key(1, 2), key(2, 1)] {
            assert_eq!(claims.take(other, result(2, 0), BEGINNING), None);
        }
        assert_eq!(claims.rows().unwrap().len(), 2);
    }

    #[test]
    fn what_is_known_is_not_taken_until_it_has_aged_out() {
        let mut claims = claims([(key(1, 1), result(1, 0))]);
        assert_eq!(claims.take(key(1, 1), result(2, 24), BEGINNING), Some(result(1, 0)));
        assert!(claims.rows().unwrap().is_empty());

        let later = BEGINNING + TimeDelta::milliseconds(1);
        assert_eq!(claims.take(key(1, 1), result(3, 25), later), None);
        assert_eq!(claims.take(key(1, 1), result(4, 25), later), Some(result(3, 25)));
        assert_eq!(claims.rows().unwrap().len(), 1);
    }

    #[test]
    fn a_key_that_ages_out_within_a_batch_is_written_once() {
        let mut claims = claims([]);
        assert_eq!(claims.take(key(1, 1), result(1, 0), BEGINNING), None);
        assert_eq!(claims.take(key(1, 1), result(2, 25), BEGINNING + TimeDelta::hours(1)), None);
        assert_eq!(claims.rows().unwrap().len(), 1, "PostgreSQL does not write one row twice in a statement");
    }
}
