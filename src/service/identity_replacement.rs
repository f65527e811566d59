//! Putting a newer certificate in an identity's place: its hosts, its rank and those who rely on it stay.

use secrecy::ExposeSecret;

use crate::domain::audit::Action;
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::{Identity, IdentityFilter};
use crate::keys::upload;
use crate::store::{Replacement, Window};
use crate::x509;
use crate::x509::foreign_certificate::ForeignCertificate;

use super::access::{AccountPermit, Act, ReplaceIdentity};
use super::identities::{Kept, MAX_NAMED, written};
use super::identity_material::{Material, OpenedUpload};
use super::keyring::Record;
use super::{Service, ServiceError};

impl Service {
    /// Puts a newer certificate in an identity's place: hosts, rank and uses stay. Without a key in the upload, the new
    /// certificate must be for the key that is kept.
    pub async fn replace_identity(
        &self,
        permit: &AccountPermit<ReplaceIdentity>,
        id: Option<IdentityId>,
        material: Material,
    ) -> Result<Kept, ServiceError> {
        let outcome = match self.find_identity(permit, id).await {
            Ok(identity) => self.replace_or_refuse(permit, identity, material).await,
            Err(error) => Err(error),
        };
        self.recorded(permit, &written(id), outcome).await
    }

    async fn replace_or_refuse(
        &self,
        permit: &AccountPermit<ReplaceIdentity>,
        identity: Identity,
        material: Material,
    ) -> Result<Kept, ServiceError> {
        refuse_managed(&identity)?;
        let now = self.clock.now();
        let has_bundle = material.trusted_ca.is_some();
        let read = if identity.is_ca || upload::brings_a_key(&material.as_upload()) {
            self.read_material(material, identity.is_ca, now).await?
        } else {
            self.read_for_key(material, public_key_of(&identity)?, now).await?
        };
        self.put_in_place(permit, identity, read.map_err(ServiceError::Invalid)?, has_bundle).await
    }

    /// Stores an upload in the place of what an identity was.
    pub(super) async fn put_in_place<A: Act>(
        &self,
        permit: &AccountPermit<A>,
        identity: Identity,
        read: OpenedUpload,
        has_bundle: bool,
    ) -> Result<Kept, ServiceError> {
        refuse_managed(&identity)?;
        let now = self.clock.now();
        let sealed_key = match &read.private_key {
            Some(key) => Some(self.keyring.seal(Record::Identity(identity.id), key.pkcs8_der())?),
            None => None,
        };
        let facts = read.facts()?;
        let mut messages = read.messages.clone();
        if facts.not_after < identity.facts.not_after {
            messages.push("the new certificate ends before the one it replaces".into());
        }
        let replacement = Replacement {
            certificates: read.certificates(),
            trusted_ca: has_bundle.then(|| read.trusted_ca()),
            facts,
            sealed_key,
            replaced_on: now,
        };
        let subject = identity.id.to_string();
        let mut event = self.event(permit.caller().actor(), identity.account, None, Action::ReplaceIdentity, subject);
        event.detail = format!(
            "{} by {}",
            hex::encode(&identity.facts.fingerprint_sha256),
            hex::encode(&replacement.facts.fingerprint_sha256)
        );
        let replaced =
            self.store.replace_identity(identity.account, identity.id, identity.version, replacement, event).await?;
        self.candidates.clear();
        if !replaced {
            return Err(ServiceError::Unavailable("the identity is being replaced by somebody else".into()));
        }
        Ok(Kept { identity: self.find_identity(permit, Some(identity.id)).await?, messages })
    }

    /// The public key of the identity that a certificate which came without a key is for.
    pub(super) async fn kept_key_of(
        &self,
        account: AccountId,
        material: &Material,
    ) -> Result<Option<Vec<u8>>, ServiceError> {
        if upload::brings_a_key(&material.as_upload()) {
            return Ok(None);
        }
        let text = material.certificates.as_ref().map(|text| text.expose_secret()).unwrap_or_default();
        let sent = x509::pem::decode_all("CERTIFICATE", text).unwrap_or_default();
        let sent: Vec<_> = sent.iter().filter_map(|der| ForeignCertificate::from_der(der).ok()).collect();
        let filter = IdentityFilter { is_ca: Some(false), ..IdentityFilter::default() };
        let all = self.store.identities(account, filter, Window::ALL).await?.items;
        let same_key = |one: &ForeignCertificate| all.iter().any(|kept| kept.facts.spki_sha256 == one.spki_sha256);
        Ok(sent.into_iter().find(same_key).map(|certificate| certificate.spki))
    }

    /// What an upload is the successor of: the identity with the same key, of several the one that also has the name; else
    /// the one of that name. Several that could be meant are refused.
    pub(super) async fn predecessor(
        &self,
        account: AccountId,
        read: &OpenedUpload,
        is_ca: bool,
        name: Option<&str>,
    ) -> Result<Option<Identity>, ServiceError> {
        let filter = IdentityFilter { is_ca: Some(is_ca), ..IdentityFilter::default() };
        let mut all = self.store.identities(account, filter, Window::ALL).await?.items;
        let spki = read.facts()?.spki_sha256;
        let is_named = |kept: &Identity| Some(kept.name.as_str()) == name;
        if all.iter().any(|kept| kept.facts.spki_sha256 == spki) {
            all.retain(|kept| kept.facts.spki_sha256 == spki);
            if all.len() > 1 && all.iter().any(is_named) {
                all.retain(is_named);
            }
        } else {
            all.retain(is_named);
        }
        if all.len() > 1 {
            let ids: Vec<String> =
                all.iter().take(MAX_NAMED).map(|kept| format!("{} ({:?})", kept.id, kept.name)).collect();
            let message = format!("several identities could be meant: {}; PUT the one that is", ids.join(", "));
            return Err(ServiceError::invalid("/replace", message));
        }
        Ok(all.pop())
    }
}

/// From its certificate: the key itself is not opened for a comparison.
pub(super) fn public_key_of(identity: &Identity) -> Result<Vec<u8>, ServiceError> {
    let chain = x509::pem::decode_all("CERTIFICATE", &identity.certificates).map_err(ServiceError::Internal)?;
    let leaf = chain.first().ok_or_else(|| ServiceError::Internal("an identity without a certificate".into()))?;
    Ok(ForeignCertificate::from_der(leaf).map_err(ServiceError::Internal)?.spki)
}

pub(super) fn refuse_managed(identity: &Identity) -> Result<(), ServiceError> {
    if identity.managed.is_none() {
        return Ok(());
    }
    Err(ServiceError::invalid("", "this identity is managed: its zone issues its certificate and renews it"))
}
