//! Encodes a [`Plan`] as the TBSCertificate to be signed (RFC 5280, 4.1).

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, SanType,
};

use crate::domain::plan::{ExtendedKeyUsage, KeyUsage, Plan, PlanKind, RequestedExtension, RevocationPointers};
use crate::domain::subject_alternative_name::SubjectAlternativeName;

use super::capture::{self, Field};
use super::der::{EXPLICIT_0, EXPLICIT_3, INTEGER, SEQUENCE, write};
use super::error::X509Error;
use super::{general_name, oid, time};

/// An encoded TBSCertificate with the plan it was made from. Not to be signed before [`super::lint::lint`].
pub struct Tbs {
    pub(super) der: Vec<u8>,
    pub(super) plan: Plan,
}

/// Encodes the plan; issuer, subject and public key are carried byte for byte.
pub fn build(plan: Plan) -> Result<Tbs, X509Error> {
    let params = parameters(&plan)?;
    let encoded = capture::certificate(&params, &plan.issuer.ski, plan.issuer.key_type)?;
    let der = capture::splice(
        &encoded,
        &[
            Field::Kept("version", &[EXPLICIT_0]),
            Field::Kept("serialNumber", &[INTEGER]),
            Field::Kept("signature", &[SEQUENCE]),
            Field::Replaced("issuer", &plan.issuer.subject),
            Field::Kept("validity", &[SEQUENCE]),
            Field::Replaced("subject", &plan.subject.der),
            Field::Replaced("subjectPublicKeyInfo", &plan.public_key.spki),
            Field::Kept("extensions", &[EXPLICIT_3]),
        ],
    )?;
    Ok(Tbs { der, plan })
}

impl Tbs {
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

fn parameters(plan: &Plan) -> Result<CertificateParams, X509Error> {
    let mut params = CertificateParams::default();
    params.not_before = time::for_encoder(plan.not_before)?;
    params.not_after = time::for_encoder(plan.not_after)?;
    params.serial_number = Some(plan.serial.as_bytes().to_vec().into());
    params.key_identifier_method = KeyIdMethod::PreSpecified(plan.public_key.ski.to_vec());
    params.use_authority_key_identifier_extension = true;
    if plan.subject.is_empty() {
        // The encoder makes subjectAltName critical by its own name, which is a placeholder otherwise.
        params.distinguished_name = DistinguishedName::new();
    }
    match &plan.kind {
        PlanKind::Client { subject_alternative_names, key_usage, extended_key_usage, revocation, kept_extensions } => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.subject_alt_names = subject_alternative_names.iter().map(san).collect::<Result<_, _>>()?;
            params.key_usages = key_usage.iter().copied().map(purpose).collect();
            params.extended_key_usages = extended_key_usage.iter().copied().map(extended_purpose).collect();
            add_pointers(&mut params, plan, *revocation)?;
            for kept in kept_extensions {
                params.custom_extensions.push(copied(kept)?);
            }
        }
        PlanKind::Authority { path_length, self_signed } => {
            params.is_ca = IsCa::Ca(path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            if !self_signed {
                params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![plan.issuer.crl_url.clone()] }];
                let locations = [ocsp(plan), Some(ca_issuers(plan))];
                params.custom_extensions.push(information_access(locations.into_iter().flatten())?);
            }
        }
        PlanKind::Responder => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            // RFC 6960, 4.2.2.2.1: trusted for its short life, whatever is revoked meanwhile.
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 5], write::null()));
            params.custom_extensions.push(information_access([ca_issuers(plan)])?);
        }
    }
    Ok(params)
}

/// Where to learn of a revocation; or that there is nowhere (RFC 9608), which excludes every such pointer.
fn add_pointers(params: &mut CertificateParams, plan: &Plan, revocation: RevocationPointers) -> Result<(), X509Error> {
    let mut locations = Vec::with_capacity(2);
    match revocation {
        RevocationPointers::Published => {
            params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![plan.issuer.crl_url.clone()] }];
            locations.extend(ocsp(plan));
        }
        RevocationPointers::NotAvailable => {
            params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 56], write::null()));
        }
    }
    locations.push(ca_issuers(plan));
    params.custom_extensions.push(information_access(locations)?);
    Ok(())
}

/// Where the issuer's OCSP responder answers, if it has one.
fn ocsp(plan: &Plan) -> Option<(&str, &str)> {
    plan.issuer.ocsp_url.as_deref().map(|url| (oid::ACCESS_OCSP, url))
}

/// Where the issuer's certificate is.
fn ca_issuers(plan: &Plan) -> (&str, &str) {
    (oid::ACCESS_CA_ISSUERS, plan.issuer.certificate_url.as_str())
}

/// AuthorityInfoAccessSyntax (RFC 5280, 4.2.2.1).
fn information_access<'a>(
    locations: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<CustomExtension, X509Error> {
    let mut descriptions = Vec::new();
    for (method, url) in locations {
        let method = write::object_identifier(method)?;
        descriptions.extend(write::sequence(&[&method, &write::element(general_name::URI, url.as_bytes())]));
    }
    Ok(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], write::sequence(&[&descriptions])))
}

/// An extension of the request, byte for byte.
fn copied(extension: &RequestedExtension) -> Result<CustomExtension, X509Error> {
    // The encoder panics on what is no object identifier; ours says so.
    write::object_identifier(&extension.oid)?;
    let arcs: Result<Vec<u64>, _> = extension.oid.split('.').map(str::parse).collect();
    let arcs = arcs.map_err(|_| X509Error::Content(format!("{} is not an object identifier", extension.oid)))?;
    let mut copied = CustomExtension::from_oid_content(&arcs, extension.value.clone());
    copied.set_criticality(extension.critical);
    Ok(copied)
}

fn san(name: &SubjectAlternativeName) -> Result<SanType, X509Error> {
    Ok(match name {
        SubjectAlternativeName::Dns(text) => SanType::DnsName(text.as_str().try_into()?),
        SubjectAlternativeName::Email(text) => SanType::Rfc822Name(text.as_str().try_into()?),
        SubjectAlternativeName::Uri(text) => SanType::URI(text.as_str().try_into()?),
        SubjectAlternativeName::Ip(address) => SanType::IpAddress(*address),
    })
}

fn purpose(usage: KeyUsage) -> KeyUsagePurpose {
    match usage {
        KeyUsage::DigitalSignature => KeyUsagePurpose::DigitalSignature,
        KeyUsage::ContentCommitment => KeyUsagePurpose::ContentCommitment,
        KeyUsage::KeyEncipherment => KeyUsagePurpose::KeyEncipherment,
        KeyUsage::KeyAgreement => KeyUsagePurpose::KeyAgreement,
    }
}

fn extended_purpose(usage: ExtendedKeyUsage) -> ExtendedKeyUsagePurpose {
    match usage {
        ExtendedKeyUsage::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsage::EmailProtection => ExtendedKeyUsagePurpose::EmailProtection,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::prelude::{FromDer, TbsCertificate};

    use crate::domain::name::AttributeType;

    use super::super::{name, testing};
    use super::*;

    #[test]
    fn a_client_certificate_carries_what_was_planned() {
        let plan = testing::client_plan();
        let tbs = build(plan.clone()).unwrap();
        let (rest, parsed) = TbsCertificate::from_der(&tbs.der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(parsed.subject.as_raw(), plan.subject.der);
        assert_eq!(parsed.issuer.as_raw(), plan.issuer.subject);
        assert_eq!(parsed.subject_pki.raw, plan.public_key.spki);
        assert!(!parsed.is_ca());
    }

    proptest! {
        #[test]
        fn any_name_is_carried_byte_for_byte(
            values in proptest::collection::vec((0usize..6, "[ -~¡-ÿ✓]{1,20}"), 1..12)
        ) {
            const KINDS: [AttributeType; 6] = [
                AttributeType::CommonName, AttributeType::Organization, AttributeType::OrganizationalUnit,
                AttributeType::State, AttributeType::Locality, AttributeType::UserId,
            ];
            let attributes: Vec<_> = values.iter().map(|(kind, value)| (KINDS[*kind], value.clone())).collect();
            let mut plan = testing::client_plan();
            plan.subject = name::build(&attributes).unwrap();
            plan.issuer.subject = name::build(&attributes.iter().rev().cloned().collect::<Vec<_>>()).unwrap().der;
            let tbs = build(plan.clone()).unwrap();
            let (_, parsed) = TbsCertificate::from_der(&tbs.der).unwrap();
            prop_assert_eq!(parsed.subject.as_raw(), plan.subject.der.as_slice());
            prop_assert_eq!(parsed.issuer.as_raw(), plan.issuer.subject.as_slice());
            prop_assert_eq!(parsed.subject_pki.raw, plan.public_key.spki.as_slice());
        }
    }
}
