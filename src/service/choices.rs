//! Which identity is presented to a host.

use std::sync::Arc;

use crate::domain::check::Selector;
use crate::domain::choice::{self, Candidate, Reason};
use crate::domain::host_pattern::HostName;
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::Identity;
use crate::store::Candidacy;

use super::access::{AccountPermit, ReadIdentities};
use super::{Service, ServiceError};

/// How many runners-up are told.
const MAX_RUNNERS_UP: usize = 100;

/// What would be presented to a host, and what in its place if it were not there.
#[derive(Clone, Debug)]
pub struct Match {
    pub host: HostName,
    pub choice: Option<Ranked>,
    /// In order.
    pub runners_up: Vec<Ranked>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    pub id: IdentityId,
    pub name: String,
    pub reason: Reason,
}

impl Service {
    /// What would be presented to a host. Fails when the text is no host name.
    pub async fn match_host(&self, permit: &AccountPermit<ReadIdentities>, host: &str) -> Result<Match, ServiceError> {
        let host = HostName::parse(host).map_err(|why| ServiceError::invalid("", why))?;
        let mut ranked = self.rank(permit.account(), &host, None).await?.into_iter();
        let choice = ranked.next();
        Ok(Match { host, choice, runners_up: ranked.take(MAX_RUNNERS_UP).collect() })
    }

    /// All of the account's identities that could be presented to a host, the choice first; as if `without` were not
    /// there.
    pub(super) async fn rank(
        &self,
        account: AccountId,
        host: &HostName,
        without: Option<IdentityId>,
    ) -> Result<Vec<Ranked>, ServiceError> {
        let candidates = self.candidates_of(account).await?;
        let present = candidates.iter().filter(|candidacy| Some(candidacy.id) != without);
        let considered = present.map(|candidacy| Candidate {
            id: candidacy.id,
            patterns: &candidacy.hosts,
            is_primary: candidacy.is_primary,
        });
        let named = |id: IdentityId| {
            candidates.iter().find(|candidacy| candidacy.id == id).map(|found| found.name.clone()).unwrap_or_default()
        };
        let ranked = choice::rank(considered, host).into_iter().take(MAX_RUNNERS_UP + 1);
        Ok(ranked.map(|(id, reason)| Ranked { id, name: named(id), reason }).collect())
    }

    /// What is to be presented, and why: in words that stand behind "presented because of".
    pub(super) async fn select(
        &self,
        account: AccountId,
        selector: Selector,
        host: &HostName,
    ) -> Result<Selection, ServiceError> {
        match selector {
            Selector::None => Ok(Selection::nothing("no identity is to be presented")),
            Selector::Explicit(id) => match self.store.identity(account, id).await? {
                Some(identity) => Ok(Selection { reason: Reason::Explicit.to_string(), identity: Some(identity) }),
                None => Ok(Selection::missing(id)),
            },
            Selector::Auto => {
                let Some(first) = self.rank(account, host, None).await?.into_iter().next() else {
                    return Ok(Selection::nothing(NO_MATCH));
                };
                match self.store.identity(account, first.id).await? {
                    Some(identity) => Ok(Selection { reason: first.reason.to_string(), identity: Some(identity) }),
                    // Removed since the candidates were read, in another process.
                    None => Ok(Selection::nothing(NO_MATCH)),
                }
            }
        }
    }

    async fn candidates_of(&self, account: AccountId) -> Result<Arc<Vec<Candidacy>>, ServiceError> {
        let now = self.clock.now();
        if let Some(known) = self.candidates.find(&account, now) {
            return Ok(known);
        }
        let candidates = self.store.candidates(account).await?;
        Ok(self.candidates.keep(account, candidates, now))
    }
}

const NO_MATCH: &str = "no identity is assigned to this host, and there is no primary";

/// An identity that was chosen, or none, with the reason.
pub(super) struct Selection {
    pub(super) identity: Option<Identity>,
    pub(super) reason: String,
}

impl Selection {
    fn nothing(why: &str) -> Self {
        Self { identity: None, reason: why.to_owned() }
    }

    fn missing(id: IdentityId) -> Self {
        Self { identity: None, reason: format!("the identity {id} that was named is not there any more") }
    }
}
