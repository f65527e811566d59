//! Which identity is presented to a host.

use std::sync::Arc;

use crate::domain::check::Selector;
use crate::domain::choice::{self, Candidate, Reason};
use crate::domain::host_pattern::{HostName, HostPattern};
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::{Identity, MAX_ACCOUNT_COST, MAX_HOSTS_COST};
use crate::domain::violation::Violation;
use crate::store::Candidacy;

use super::access::{AccountPermit, ReadIdentities};
use super::{Service, ServiceError, in_turn};

/// How many runners-up are told.
const MAX_RUNNERS_UP: usize = 100;
/// Steps for each character of a host that are taken here and now: at most some milliseconds.
const CHEAP: usize = 20_000;

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
        let mut ranked = self.rank(permit.account(), host.clone()).await?.into_iter();
        let choice = ranked.next();
        Ok(Match { host, choice, runners_up: ranked.take(MAX_RUNNERS_UP).collect() })
    }

    /// All of the account's identities that could be presented to a host, the choice first.
    pub(super) async fn rank(&self, account: AccountId, host: HostName) -> Result<Vec<Ranked>, ServiceError> {
        let candidates = self.candidates_of(account).await?;
        if candidates.cost <= CHEAP {
            return Ok(candidates.rank(&host));
        }
        // Patterns of strangers can be made to take long: that is not for the threads that everybody's requests share.
        in_turn(&self.matching, move || candidates.rank(&host)).await
    }

    /// Refuses hosts that would make choosing too slow for everybody, together with those that the account has.
    pub(super) async fn check_cost(
        &self,
        account: AccountId,
        hosts: &[HostPattern],
        own: Option<IdentityId>,
    ) -> Result<Option<Violation>, ServiceError> {
        let cost: usize = hosts.iter().map(HostPattern::cost).sum();
        let candidates = self.candidates_of(account).await?;
        let others = candidates.list.iter().filter(|candidacy| Some(candidacy.id) != own);
        let others: usize = others.flat_map(|candidacy| &candidacy.hosts).map(HostPattern::cost).sum();
        let message = if cost > MAX_HOSTS_COST {
            format!(
                "the hosts have {cost} steps together, and an identity may have {MAX_HOSTS_COST}; write simpler patterns"
            )
        } else if cost > 0 && cost + others > MAX_ACCOUNT_COST {
            format!(
                "with these hosts the account's have more than {MAX_ACCOUNT_COST} steps together; write simpler patterns"
            )
        } else {
            return Ok(None);
        };
        Ok(Some(Violation::new("/hosts", message)))
    }

    /// What is to be presented, with the reason as a sentence.
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
                let Some(first) = self.rank(account, host.clone()).await?.into_iter().next() else {
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

    async fn candidates_of(&self, account: AccountId) -> Result<Arc<Candidates>, ServiceError> {
        let now = self.clock.now();
        if let Some(known) = self.candidates.find(&account, now) {
            return Ok(known);
        }
        let before = self.candidates.before();
        let list = self.store.candidates(account).await?;
        let cost = list.iter().flat_map(|candidacy| &candidacy.hosts).map(HostPattern::cost).sum();
        Ok(self.candidates.keep_since(account, Candidates { list, cost }, now, before))
    }
}

/// What an account chooses from, oldest first.
pub(super) struct Candidates {
    list: Vec<Candidacy>,
    /// Of all hosts together, in `HostPattern::cost`.
    cost: usize,
}

impl Candidates {
    /// The choice first, then the runners-up.
    fn rank(&self, host: &HostName) -> Vec<Ranked> {
        let considered = self.list.iter().map(|candidacy| Candidate {
            id: (candidacy.id, candidacy.name.as_str()),
            patterns: &candidacy.hosts,
            is_primary: candidacy.is_primary,
        });
        let ranked = choice::rank(considered, host).into_iter().take(MAX_RUNNERS_UP + 1);
        ranked.map(|((id, name), reason)| Ranked { id, name: name.to_owned(), reason }).collect()
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
