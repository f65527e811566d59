//! What an upload holds, and what a removal means: told before anything is kept or gone.

use crate::domain::id::IdentityId;
use crate::domain::identity::{Identity, IdentityFacts, Use};
use crate::domain::violation::Violation;
use crate::keys::upload;
use crate::x509::foreign_certificate::ForeignCertificate;

use super::access::{AccountPermit, AddIdentity, RemoveIdentity, ReplaceIdentity};
use super::error::Noun;
use super::identities::IdentityInput;
use super::identity_material::{Material, OpenedUpload, default_name, what_a_bundle_has_not};
use super::identity_replacement::{public_key_of, refuse_managed};
use super::{Service, ServiceError};

/// An upload as it was read, and everything that it would be refused for.
#[derive(Default)]
pub struct UploadPreview {
    /// None when it cannot be read.
    pub holds: Option<Holds>,
    pub faults: Vec<Violation>,
}

/// What is in an upload. Of a private key, only that there is one.
pub struct Holds {
    pub facts: IdentityFacts,
    /// What the certificate calls itself.
    pub name: String,
    /// The certificates after the first.
    pub others: Vec<String>,
    pub trusted: Vec<String>,
    pub has_key: bool,
    /// What is odd about it.
    pub messages: Vec<String>,
}

/// What goes with an identity.
pub struct RemovalPreview {
    pub identity: Identity,
    pub uses: Vec<Use>,
    /// What checks would present instead.
    pub messages: Vec<String>,
}

impl Service {
    /// What would become of an upload. Nothing is kept or recorded.
    pub async fn preview_identity(
        &self,
        permit: &AccountPermit<AddIdentity>,
        input: IdentityInput,
    ) -> Result<UploadPreview, ServiceError> {
        let IdentityInput { name, is_ca, material, hosts, is_primary, labels, mut faults, .. } = input;
        let details = self.read_details(permit.account(), None, name, Some(hosts), Some(&labels)).await?;
        faults.extend(details.faults);
        if is_ca {
            faults.extend(what_a_bundle_has_not(&material, &details.hosts.unwrap_or_default(), is_primary));
        }
        let read = self.read_material(material, is_ca, self.clock.now()).await?;
        Ok(UploadPreview::of(read, faults, details.messages))
    }

    /// The same for what is to take the place of an identity.
    pub async fn preview_replacement(
        &self,
        permit: &AccountPermit<ReplaceIdentity>,
        id: Option<IdentityId>,
        material: Material,
    ) -> Result<UploadPreview, ServiceError> {
        let identity = self.find_identity(permit, id).await?;
        refuse_managed(&identity)?;
        let now = self.clock.now();
        let read = if identity.is_ca || upload::brings_a_key(&material.as_upload()) {
            self.read_material(material, identity.is_ca, now).await?
        } else {
            self.read_for_key(material, public_key_of(&identity)?, now).await?
        };
        let mut preview = UploadPreview::of(read, Vec::new(), Vec::new());
        if let Some(holds) = &mut preview.holds
            && holds.facts.not_after < identity.facts.not_after
        {
            holds.messages.push("the new certificate ends before the one it replaces".into());
        }
        Ok(preview)
    }

    /// Who relies on an identity that somebody wants to remove.
    pub async fn preview_removal(
        &self,
        permit: &AccountPermit<RemoveIdentity>,
        id: Option<IdentityId>,
    ) -> Result<RemovalPreview, ServiceError> {
        let identity = self.find_identity(permit, id).await?;
        let uses = self.store.identity_uses(permit.account(), identity.id).await?;
        let messages = self.what_removal_means(&identity).await?;
        Ok(RemovalPreview { uses: uses.ok_or(ServiceError::NotFound(Noun::Identity))?, identity, messages })
    }
}

impl UploadPreview {
    fn of(read: Result<OpenedUpload, Vec<Violation>>, mut faults: Vec<Violation>, mut messages: Vec<String>) -> Self {
        let read = match read {
            Ok(read) => read,
            Err(found) => {
                faults.extend(found);
                return Self { holds: None, faults };
            }
        };
        let Ok(facts) = read.facts() else { return Self { holds: None, faults } };
        messages.extend(read.messages.iter().cloned());
        let labels = |certificates: &[ForeignCertificate]| certificates.iter().map(ForeignCertificate::label).collect();
        let holds = Holds {
            facts,
            name: default_name(&read),
            others: labels(read.chain.get(1..).unwrap_or_default()),
            trusted: labels(&read.trusted),
            has_key: read.private_key.is_some(),
            messages,
        };
        Self { holds: Some(holds), faults }
    }
}
