//! Zones: seeing them, and making new ones with an issuing authority of their own.

use crate::domain::audit::Action;
use crate::domain::id::ZoneId;
use crate::domain::permission::{Permission, Reach};
use crate::domain::zone::{Zone, normalise_name};

use super::access::{AccountPermit, Caller, CreateZone, ReadZones, RenameZone, ZonePermit};
use super::authorities::{AuthorityOptions, first_crl_news};
use super::{Service, ServiceError};

/// A zone to be made.
#[derive(Clone, Debug)]
pub struct NewZone {
    pub name: String,
    pub authority: AuthorityOptions,
}

impl Service {
    /// The zones that the caller may see, oldest first.
    pub async fn zones(&self, caller: &Caller) -> Result<Vec<Zone>, ServiceError> {
        let grants = &caller.token().grants;
        if !grants.permissions.contains(&Permission::ReadZones) {
            return Err(ServiceError::Forbidden);
        }
        let mut zones = self.store.zones(caller.account()).await?;
        if let Reach::Zones(named) = &grants.reach {
            zones.retain(|zone| named.contains(&zone.id));
        }
        Ok(zones)
    }

    pub async fn zone(&self, permit: &ZonePermit<ReadZones>) -> Result<Zone, ServiceError> {
        Ok(permit.issuer().zone.clone())
    }

    /// Makes a zone and its issuing authority under the account's root. A name that is taken is refused.
    pub async fn create_zone(&self, permit: &AccountPermit<CreateZone>, new: NewZone) -> Result<Zone, ServiceError> {
        let outcome = self.create_or_refuse(permit, new).await;
        self.recorded(permit, "", outcome).await
    }

    /// Gives a zone another name. Certificates and authorities keep the names that they were made with.
    pub async fn rename_zone(&self, permit: &ZonePermit<RenameZone>, name: &str) -> Result<Zone, ServiceError> {
        let outcome = self.rename_or_refuse(permit, name).await;
        self.recorded(permit, &permit.zone().to_string(), outcome).await
    }

    async fn rename_or_refuse(&self, permit: &ZonePermit<RenameZone>, name: &str) -> Result<Zone, ServiceError> {
        let name = normalise_name(name).map_err(|why| ServiceError::invalid("/name", why))?;
        let zone = permit.issuer().zone.clone();
        let subject = zone.id.to_string();
        let event = self.event(permit.caller().actor(), zone.account.id, Some(zone.id), Action::RenameZone, subject);
        let renamed = self.store.rename_zone(zone.account.id, zone.id, name.clone(), event).await?;
        self.issuers.clear();
        if renamed { Ok(Zone { name, ..zone }) } else { Err(name_is_taken(&name)) }
    }

    async fn create_or_refuse(&self, permit: &AccountPermit<CreateZone>, new: NewZone) -> Result<Zone, ServiceError> {
        let now = self.clock.now();
        let name = normalise_name(&new.name).map_err(|why| ServiceError::invalid("/name", why))?;
        let account = self.own_account(permit.caller()).await?;
        let root = self.active_root(account.id).await?;

        if self.store.zones(account.id).await?.iter().any(|zone| zone.name == name) {
            return Err(name_is_taken(&name));
        }

        let zone = Zone { id: ZoneId::new(self.random.opaque_id()?), account, name, created_on: now };
        let root_signer = self.keyring.signer(&self.store, &root).await?;
        let authority = self.make_issuing_authority(&zone, &root, &root_signer, new.authority, now).await?;
        let event =
            |action, subject| self.event(permit.caller().actor(), zone.account.id, Some(zone.id), action, subject);
        let mut made = event(Action::CreateAuthority, authority.authority.id.to_string());
        made.news = Some(first_crl_news(&authority));
        let events = vec![event(Action::CreateZone, zone.id.to_string()), made];
        if self.store.create_zone(zone.clone(), authority, events).await? {
            Ok(zone)
        } else {
            Err(name_is_taken(&zone.name))
        }
    }
}

fn name_is_taken(name: &str) -> ServiceError {
    ServiceError::invalid("/name", format!("the account already has a zone named {name:?}"))
}
