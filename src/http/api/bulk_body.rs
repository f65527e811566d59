//! The body that asks for a bulk job. Unlike elsewhere, a key that is not known is refused: a condition that is misspelt and
//! passed over would select more than was meant.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::bulk::{Filter, MAX_IDS, Wish, parse_key};
use crate::domain::id::{AuthorityId, CertificateId};
use crate::domain::reason::RevocationReason;
use crate::domain::status::Status;
use crate::domain::text::parse_timestamp;
use crate::http::body::{Fields, string};
use crate::http::error::ApiError;
use crate::service::bulk::{BulkInput, Selection};

/// What is asked of which certificates: either `ids` or `filter`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read field by field, so that all faults are told at once; this is its description")]
pub struct ChangeManyCertificates {
    /// `revoke` or `reactivate`.
    #[schema(example = "revoke")]
    action: String,
    /// CRLReason of RFC 5280, 5.3.1, for `revoke` only; certificateHold if left out, the only one that can be lifted.
    #[schema(nullable = false, required = false, example = "superseded")]
    reason: Option<String>,
    /// Since when the keys are believed to be in wrong hands (RFC 5280, 5.3.2), for `revoke` only.
    #[schema(nullable = false, required = false)]
    invalidity_date: Option<String>,
    /// Certificates by id. Those that the zone does not have are counted and passed over.
    #[schema(nullable = false, required = false, min_items = 1, max_items = 10000)]
    ids: Option<Vec<String>>,
    #[schema(nullable = false, required = false)]
    filter: Option<CertificateConditions>,
    /// Tell what would be done, and do nothing.
    #[schema(nullable = false, required = false)]
    dry_run: Option<bool>,
}

/// Conditions that all hold together; at least one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct CertificateConditions {
    /// Every certificate of the zone; stands alone.
    #[schema(nullable = false, required = false)]
    all: Option<bool>,
    /// The common name starts with this.
    #[schema(nullable = false, required = false, min_length = 1, max_length = 256, example = "device-")]
    common_name: Option<String>,
    /// Issued before this moment, exact to the millisecond: a date or an RFC 3339 time. A certificate's `issued_on` is its
    /// notBefore, a little earlier.
    #[schema(nullable = false, required = false, example = "2027-01-31T00:00:00Z")]
    issued_before: Option<String>,
    /// Issued after this moment.
    #[schema(nullable = false, required = false)]
    issued_after: Option<String>,
    /// The id of the authority that signed.
    #[schema(nullable = false, required = false)]
    authority: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, 64 hex digits.
    #[schema(nullable = false, required = false)]
    spki_sha256: Option<String>,
    /// The status that a certificate has when its turn comes.
    #[schema(nullable = false, required = false, example = "active")]
    status: Option<String>,
}

/// A request that was understood.
pub struct Asked {
    pub input: BulkInput,
    pub is_dry_run: bool,
}

const MOMENT: &str = "a date or an RFC 3339 time such as 2027-01-31T00:00:00Z";

/// Reads it, or tells all faults.
pub fn read(body: &[u8]) -> Result<Asked, ApiError> {
    let mut fields = Fields::parse(body)?;
    let wish = wish(&mut fields);
    let is_dry_run = fields.optional("dry_run", "true or false", Value::as_bool).unwrap_or_default();
    let selection = selection(&mut fields);
    fields.refuse_others("action, reason, invalidity_date, ids, filter or dry_run");
    match (wish, selection, fields.finish()) {
        (_, _, Err(faults)) => Err(faults),
        (Some(wish), Some(selection), Ok(())) => Ok(Asked { input: BulkInput { wish, selection }, is_dry_run }),
        _ => Err(ApiError::internal()),
    }
}

fn wish(fields: &mut Fields) -> Option<Wish> {
    let names = RevocationReason::names().collect::<Vec<_>>().join(", ");
    let action = fields.required("action", "revoke or reactivate", |value| match value.as_str() {
        Some("revoke") => Some(true),
        Some("reactivate") => Some(false),
        _ => None,
    });
    let reason =
        fields.optional("reason", &format!("one of {names}"), |value| RevocationReason::parse(value.as_str()?));
    let invalidity_date = fields.optional("invalidity_date", MOMENT, moment);
    match action? {
        true => Some(Wish::Revoke { reason, invalidity_date }),
        false => {
            for (name, is_given) in [("reason", reason.is_some()), ("invalidity_date", invalidity_date.is_some())] {
                if is_given {
                    fields.fault(&format!("/{name}"), format!("{name} belongs to the action revoke; leave it out"));
                }
            }
            Some(Wish::Reactivate)
        }
    }
}

fn selection(fields: &mut Fields) -> Option<Selection> {
    let ids = fields.optional("ids", "an array of certificate ids", |value| value.as_array().cloned());
    let filter = fields.object("filter");
    match (ids, filter) {
        (Some(ids), None) => ids_of(fields, &ids).map(Selection::Ids),
        (None, Some(mut inner)) => {
            let filter = filter_of(&mut inner);
            fields.adopt("filter", inner);
            Some(Selection::Filter(filter))
        }
        (Some(_), Some(_)) => {
            fields.fault("", "either ids or filter selects the certificates, not both");
            None
        }
        (None, None) => {
            // A fault of its form was told already.
            if !fields.is_faulty() {
                fields.fault("", "ids or filter is required: which certificates are meant");
            }
            None
        }
    }
}

fn ids_of(fields: &mut Fields, given: &[Value]) -> Option<Vec<CertificateId>> {
    if !(1..=MAX_IDS).contains(&given.len()) {
        let message = format!("ids must name 1 to {MAX_IDS} certificates, not {}; a filter selects more", given.len());
        fields.fault("/ids", message);
        return None;
    }
    let mut ids = Vec::with_capacity(given.len());
    for (index, value) in given.iter().enumerate() {
        match value.as_str().and_then(CertificateId::parse) {
            Some(id) => ids.push(id),
            None => fields.fault(&format!("/ids/{index}"), "an id is a UUID in lower case, as lists show it"),
        }
    }
    Some(ids)
}

fn filter_of(fields: &mut Fields) -> Filter {
    let words = Status::ALL.map(Status::as_str).join(", ");
    let filter = Filter {
        all: fields.optional("all", "true or false", Value::as_bool).unwrap_or_default(),
        common_name: fields.optional("common_name", "what the common names begin with, as a string", string),
        issued_before: fields.optional("issued_before", MOMENT, moment),
        issued_after: fields.optional("issued_after", MOMENT, moment),
        authority: fields
            .optional("authority", "the UUID of an authority", |value| AuthorityId::parse(value.as_str()?)),
        spki_sha256: fields.optional("spki_sha256", "64 hex digits", |value| parse_key(value.as_str()?)),
        status: fields.optional("status", &format!("one of {words}"), |value| Status::parse(value.as_str()?)),
    };
    fields.refuse_others("all, common_name, issued_before, issued_after, authority, spki_sha256 or status");
    filter
}

fn moment(value: &Value) -> Option<chrono::DateTime<chrono::Utc>> {
    parse_timestamp(value.as_str()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(body: Value) -> String {
        read(body.to_string().as_bytes()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_well_formed_is_read() {
        let id = "0d89c70d-ad9f-4843-b99f-6cc0252067e9";
        let asked = read(json!({"action": "reactivate", "ids": [id, id]}).to_string().as_bytes()).unwrap();
        assert!(matches!(asked.input.selection, Selection::Ids(ids) if ids.len() == 2));
        assert!(!asked.is_dry_run);
        let body = json!({"action": "revoke", "reason": "SUPERSEDED", "invalidity_date": null, "dry_run": true,
            "filter": {"common_name": "a", "issued_after": "2026-01-01", "status": "Active", "spki_sha256": "AB".repeat(32)}});
        let asked = read(body.to_string().as_bytes()).unwrap();
        assert!(asked.is_dry_run);
        let wish = Wish::Revoke { reason: Some(RevocationReason::Superseded), invalidity_date: None };
        assert_eq!(asked.input.wish, wish);
        assert!(matches!(asked.input.selection, Selection::Filter(filter) if filter.fault().is_none()));
    }

    #[test]
    fn all_faults_are_told_and_nothing_is_passed_over() {
        let all = json!({"all": true});
        for (body, expected) in [
            (json!({}), "action is required"),
            (json!({"action": "delete", "filter": all}), "action must be revoke or reactivate"),
            (json!({"action": "revoke"}), "ids or filter is required"),
            (json!({"action": "revoke", "filter": null}), "ids or filter is required"),
            (json!({"action": "revoke", "filter": all, "ids": []}), "not both"),
            (json!({"action": "revoke", "filter": [], "dry_run": "yes"}), "filter must be an object"),
            (json!({"action": "revoke", "ids": []}), "1 to 10000"),
            (json!({"action": "revoke", "ids": vec!["x"; 10_001]}), "not 10001"),
            (json!({"action": "revoke", "ids": ["x", 5]}), "an id is a UUID"),
            (json!({"action": "revoke", "filter": {"comon_name": "a"}}), "\"comon_name\""),
            (json!({"action": "revoke", "filter": all, "dry-run": true}), "\"dry-run\""),
            (json!({"action": "reactivate", "filter": all, "reason": "superseded"}), "reason belongs to"),
            (json!({"action": "revoke", "filter": {"issued_before": "soon"}}), "issued_before must be"),
            (json!({"action": "revoke", "filter": {"spki_sha256": "ab"}}), "64 hex digits"),
        ] {
            let told = faults(body.clone());
            assert!(told.contains(expected), "{body}: {told}");
        }
    }
}
