//! Reading what is sent about identities, field by field, so that all faults are told at once.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde_json::Value;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::domain::id::ZoneId;
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use crate::service::identities::{EditInput, IdentityInput};
use crate::service::identity_material::Material;
use crate::service::managed_identities::ManagedInput;

use crate::http::body::{Fields, integer, string, strings};

/// What to keep. Either `certificates` (with the key in it or in `private_key`), or `pkcs12`, or `managed`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read field by field; this is its description")]
pub struct UploadMtlsCertificate {
    /// A bundle of CAs to trust. Without a key.
    #[schema(nullable = false, required = false, default = false)]
    ca: bool,
    /// PEM: the certificate, its chain, and the key if it is not sent apart, in any order.
    #[schema(nullable = false, required = false)]
    certificates: Option<String>,
    /// PEM: PKCS#8, PKCS#1 or SEC1, plain or encrypted.
    #[schema(nullable = false, required = false)]
    private_key: Option<String>,
    /// A PKCS#12 file in base64.
    #[schema(nullable = false, required = false)]
    pkcs12: Option<String>,
    /// Of the key or the PKCS#12 file. It is not kept.
    #[schema(required = false)]
    passphrase: Option<String>,
    /// PEM of the CAs to verify its servers by; those of the system without.
    #[schema(required = false)]
    trusted_ca: Option<String>,
    /// What the certificate calls itself, if left out.
    #[schema(required = false)]
    name: Option<String>,
    /// Host names and patterns such as `*.example.com` that it is to be presented to.
    #[schema(nullable = false, required = false, max_items = 100)]
    hosts: Option<Vec<String>>,
    /// Present it where no host matches; the primary before is demoted.
    #[schema(nullable = false, required = false)]
    primary: Option<bool>,
    #[schema(nullable = false, required = false)]
    labels: Option<BTreeMap<String, String>>,
    /// Take the place of the identity with the same key, else of the one of this name: hosts, rank and uses stay.
    #[schema(nullable = false, required = false)]
    replace: Option<bool>,
    /// Have one of the account's own zones issue the certificate, and renew it.
    #[schema(nullable = false, required = false)]
    managed: Option<ManageMtlsCertificate>,
}

/// What the zone is to issue. The key is made inside and never shown.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct ManageMtlsCertificate {
    zone_id: String,
    common_name: String,
    #[schema(nullable = false, required = false)]
    organization: Option<String>,
    #[schema(nullable = false, required = false)]
    organizational_unit: Option<String>,
    /// Each `TYPE:VALUE`, the type one of dns, email, uri and ip.
    #[schema(nullable = false, required = false)]
    subject_alternative_names: Option<Vec<String>>,
    /// `p256` if left out.
    #[schema(nullable = false, required = false)]
    key_type: Option<String>,
    #[schema(nullable = false, required = false)]
    profile: Option<String>,
    /// 90 if left out. It is renewed at two thirds.
    #[schema(nullable = false, required = false)]
    validity_days: Option<i64>,
    /// How long a replaced certificate stays valid before it is revoked as superseded; a day if left out.
    #[schema(nullable = false, required = false, maximum = 2_592_000)]
    grace_seconds: Option<i64>,
}

/// What to change. What is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct EditMtlsCertificate {
    #[schema(nullable = false, required = false)]
    name: Option<String>,
    #[schema(nullable = false, required = false, max_items = 100)]
    hosts: Option<Vec<String>>,
    #[schema(nullable = false, required = false)]
    primary: Option<bool>,
    #[schema(nullable = false, required = false)]
    labels: Option<BTreeMap<String, String>>,
}

/// The newer certificate, in any of the forms of an upload. Without a key it must be for the key that is kept.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a description of what is read field by field")]
pub struct ReplaceMtlsCertificate {
    #[schema(nullable = false, required = false)]
    certificates: Option<String>,
    #[schema(nullable = false, required = false)]
    private_key: Option<String>,
    /// A PKCS#12 file in base64.
    #[schema(nullable = false, required = false)]
    pkcs12: Option<String>,
    #[schema(required = false)]
    passphrase: Option<String>,
    /// The bundle before stays if this is left out.
    #[schema(required = false)]
    trusted_ca: Option<String>,
}

/// An upload, and the zone that is to issue if it is a managed one.
pub struct UploadBody {
    pub input: IdentityInput,
    pub managed: Option<(Option<ZoneId>, ManagedInput)>,
}

pub fn upload(mut fields: Fields) -> UploadBody {
    let is_ca = fields.optional("ca", "true or false", Value::as_bool).unwrap_or_default();
    let material = material(&mut fields);
    let name = fields.optional("name", "a string", string);
    let hosts = fields.optional("hosts", "an array of host names and patterns", strings).unwrap_or_default();
    let is_primary = fields.optional("primary", "true or false", Value::as_bool).unwrap_or_default();
    let labels = labels(&mut fields).unwrap_or_default();
    let replaces = fields.optional("replace", "true or false", Value::as_bool).unwrap_or_default();
    let managed = fields.object("managed").map(|inner| managed(&mut fields, inner));
    if managed.is_some() {
        let given = [
            ("certificates", material.certificates.is_some()),
            ("private_key", material.private_key.is_some()),
            ("pkcs12", material.pkcs12.is_some()),
            ("ca", is_ca),
            ("replace", replaces),
        ];
        for (name, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            let message = "a managed identity gets its key and certificate here: leave it out";
            fields.fault(&format!("/{name}"), message);
        }
    }
    let faults = fields.into_faults();
    let input = IdentityInput { name, is_ca, material, hosts, is_primary, labels, replaces, faults };
    UploadBody { input, managed }
}

pub fn edit(mut fields: Fields) -> EditInput {
    EditInput {
        name: fields.optional("name", "a string", string),
        hosts: fields.optional("hosts", "an array of host names and patterns", strings),
        is_primary: fields.optional("primary", "true or false", Value::as_bool),
        labels: labels(&mut fields),
        faults: fields.into_faults(),
    }
}

/// Certificates and key, in whichever fields they came.
pub fn material(fields: &mut Fields) -> Material {
    Material {
        certificates: fields.secret("certificates"),
        private_key: fields.secret("private_key"),
        pkcs12: pkcs12(fields),
        passphrase: fields.secret("passphrase"),
        trusted_ca: fields.optional("trusted_ca", "PEM, as a string", string),
    }
}

fn pkcs12(fields: &mut Fields) -> Option<Zeroizing<Vec<u8>>> {
    let text = fields.secret("pkcs12")?;
    let plain = Zeroizing::new(
        text.expose_secret().chars().filter(|character| !character.is_ascii_whitespace()).collect::<String>(),
    );
    match STANDARD.decode(plain.as_bytes()) {
        Ok(der) => Some(Zeroizing::new(der)),
        Err(_) => {
            fields.fault("/pkcs12", "pkcs12 must be the bytes of a PKCS#12 file in base64");
            None
        }
    }
}

fn labels(fields: &mut Fields) -> Option<BTreeMap<String, String>> {
    fields.optional("labels", "an object of strings", |value| {
        value.as_object()?.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    })
}

fn managed(fields: &mut Fields, mut inner: Fields) -> (Option<ZoneId>, ManagedInput) {
    let zone = inner.required("zone_id", "32 hex digits", |value| ZoneId::parse(value.as_str()?));
    let names = inner.optional("subject_alternative_names", "an array of TYPE:VALUE", strings).unwrap_or_default();
    let mut read = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match alternative_name(name) {
            Ok(name) => read.push(name),
            Err(why) => inner.fault(&format!("/subject_alternative_names/{index}"), why),
        }
    }
    let input = ManagedInput {
        common_name: inner.required("common_name", "a string", string),
        organization: inner.optional("organization", "a string", string),
        organizational_unit: inner.optional("organizational_unit", "a string", string),
        subject_alternative_names: read,
        key_type: inner.optional("key_type", "a string", string),
        profile: inner.optional("profile", "a string", string),
        validity_days: inner.optional("validity_days", "a whole number of days", integer),
        grace_seconds: inner.optional("grace_seconds", "a whole number of seconds", integer),
    };
    fields.adopt("managed", inner);
    (zone, input)
}

fn alternative_name(text: &str) -> Result<SubjectAlternativeName, String> {
    let (kind, value) = text.split_once(':').unwrap_or_default();
    let kind = SubjectAlternativeNameType::parse(kind)
        .ok_or("a name is written TYPE:VALUE, the type one of dns, email, uri and ip")?;
    SubjectAlternativeName::parse(kind, value)
}
