//! What the master key seals: the authorities' private keys, opened once and held only as signers; identities' keys and
//! the secrets of checks and webhooks, opened for each use.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::domain::authority::Authority;
use crate::domain::id::{AuthorityId, CheckId, IdentityId, WebhookId};
use crate::domain::serial::SerialNumber;
use crate::keys;
use crate::keys::sealing::{MasterKey, Sealed};
use crate::keys::signer::Signer;
use crate::store::{SealedKey, Store};

use super::ServiceError;

pub(super) struct Keyring {
    master_key: MasterKey,
    signers: RwLock<HashMap<AuthorityId, Arc<Signer>>>,
}

impl Keyring {
    pub(super) fn new(master_key: MasterKey) -> Self {
        Self { master_key, signers: RwLock::new(HashMap::new()) }
    }

    /// The signer of an authority; its key is unsealed at the first use.
    pub(super) async fn signer(&self, store: &Store, authority: &Authority) -> Result<Arc<Signer>, ServiceError> {
        if let Some(signer) = self.signers.read().unwrap_or_else(PoisonError::into_inner).get(&authority.id) {
            return Ok(Arc::clone(signer));
        }
        let pkcs8 = self.open(store, authority).await?;
        let signer = Arc::new(Signer::from_pkcs8(authority.key_type, &pkcs8)?);
        let mut signers = self.signers.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(signers.entry(authority.id).or_insert(signer)))
    }

    /// The key for the outside: encrypted PKCS#8 in PEM.
    pub(super) async fn export(
        &self,
        store: &Store,
        authority: &Authority,
        passphrase: SecretString,
    ) -> Result<Zeroizing<String>, ServiceError> {
        let pkcs8 = self.open(store, authority).await?;
        let encrypted = tokio::task::spawn_blocking(move || keys::pkcs8::encrypt(&pkcs8, &passphrase)).await;
        Ok(encrypted.map_err(|error| ServiceError::Internal(error.to_string()))??)
    }

    async fn open(&self, store: &Store, authority: &Authority) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        let missing = || ServiceError::Internal(format!("authority {} has no key", authority.id));
        let sealed = store.sealed_key(authority.id).await?.ok_or_else(missing)?;
        self.unseal(Record::Authority(authority.id), &sealed)
    }

    /// Seals a secret of a record.
    pub(super) fn seal(&self, record: Record, secret: &[u8]) -> Result<SealedKey, ServiceError> {
        let sealed = self.master_key.seal(record.associated_data().as_bytes(), secret)?;
        Ok(SealedKey { version: sealed.version, bytes: sealed.bytes })
    }

    /// Opens what was sealed for a record.
    pub(super) fn unseal(&self, record: Record, sealed: &SealedKey) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        let sealed = Sealed { version: sealed.version, bytes: sealed.bytes.clone() };
        Ok(self.master_key.open(record.associated_data().as_bytes(), &sealed)?)
    }

    pub(super) fn master_key(&self) -> &MasterKey {
        &self.master_key
    }
}

/// Whose secret it is.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Authority(AuthorityId),
    /// An authority's OCSP responder, by the serial number of its certificate.
    Responder(AuthorityId, SerialNumber),
    Identity(IdentityId),
    Check(CheckId),
    Webhook(WebhookId),
}

impl Record {
    /// Binds a sealed secret to its record: moved to another row, it does not open.
    fn associated_data(self) -> String {
        match self {
            Self::Authority(id) => format!("countersign authority {id}"),
            Self::Responder(id, serial) => format!("countersign responder {id} {}", serial.to_hex()),
            Self::Identity(id) => format!("countersign identity {id}"),
            Self::Check(id) => format!("countersign check {id}"),
            Self::Webhook(id) => format!("countersign webhook {id}"),
        }
    }
}
