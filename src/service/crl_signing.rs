//! Signing CRLs: the complete one, the delta beside it, and shards.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::domain::authority::{Authority, Crl, CrlBody, CrlScope};
use crate::keys::signer::Signer;
use crate::store::{Base, Publication};
use crate::x509;
use crate::x509::crl::{CrlKind, CrlPlan, EntryList, SignedCrl};

use super::{Service, ServiceError};

/// What the CRLs of one publication have in common.
pub(super) struct CrlSigning<'a> {
    authority: &'a Authority,
    signer: &'a Signer,
    issuer_subject: Vec<u8>,
    number: i64,
    this_update: DateTime<Utc>,
    next_update: DateTime<Utc>,
    /// Where the delta is published; none as long as there is no base for one.
    freshest: Option<String>,
}

impl Service {
    /// The first CRLs of an authority: nothing is revoked. There is no delta yet: it would have no base.
    pub(super) async fn first_crls(
        &self,
        authority: &Authority,
        signer: &Signer,
    ) -> Result<(Publication, Vec<Crl>), ServiceError> {
        let now = whole_seconds(self.clock.now());
        let mut signing = self.crl_signing(authority, signer, 1, now)?;
        signing.freshest = None;
        let mut crls = vec![signing.sign(CrlScope::Complete, EntryList::default()).await?];
        for shard in 0..authority.shards.as_ref().map_or(0, |shards| shards.count) {
            crls.push(signing.sign(CrlScope::Shard(shard), EntryList::default()).await?);
        }
        let first = Publication {
            authority: authority.id,
            number: 1,
            this_update: now,
            next_update: signing.next_update,
            attempts: 0,
            retry_at: DateTime::UNIX_EPOCH,
            base: Base { number: 1, this_update: now },
            oldest_update: now,
        };
        Ok((first, crls))
    }

    pub(super) fn crl_signing<'a>(
        &self,
        authority: &'a Authority,
        signer: &'a Signer,
        number: i64,
        this_update: DateTime<Utc>,
    ) -> Result<CrlSigning<'a>, ServiceError> {
        Ok(CrlSigning {
            issuer_subject: x509::certificate::read(&authority.certificate)?.subject.der,
            authority,
            signer,
            number,
            this_update,
            next_update: this_update + self.options.crl_validity,
            freshest: Some(format!("{}/delta", self.crl_url(authority.id))),
        })
    }
}

impl CrlSigning<'_> {
    /// Signs a CRL over everything, or over a shard.
    pub(super) async fn sign(&self, scope: CrlScope, entries: EntryList) -> Result<Crl, ServiceError> {
        let distribution_point = match (scope, &self.authority.shards) {
            (CrlScope::Shard(shard), Some(shards)) => Some(shards.url_of(shard)),
            _ => None,
        };
        let kind = match &distribution_point {
            Some(url) => CrlKind::Shard { distribution_point: url.clone() },
            None => CrlKind::Complete { freshest: self.freshest.clone() },
        };
        let entries_length = i64::try_from(entries.length()).unwrap_or(i64::MAX);
        let (head, tail) = self.build_and_sign(scope, kind, entries).await?.into_frame();
        Ok(self.crl(scope, distribution_point, CrlBody::Around { head, tail, entries_length }))
    }

    /// Signs a delta over these entries.
    pub(super) async fn sign_delta(&self, base: Base, entries: EntryList) -> Result<Crl, ServiceError> {
        let kind = CrlKind::Delta { base: u64::try_from(base.number).unwrap_or_default() };
        let signed = self.build_and_sign(CrlScope::Delta, kind, entries).await?;
        Ok(self.crl(CrlScope::Delta, None, CrlBody::Whole(signed.der())))
    }

    async fn build_and_sign(
        &self,
        scope: CrlScope,
        kind: CrlKind,
        entries: EntryList,
    ) -> Result<SignedCrl, ServiceError> {
        let started = Instant::now();
        let signed = self.signer.sign_crl(x509::crl::build(self.plan(kind), entries)?).await?;
        let scope = match scope {
            CrlScope::Complete => "complete",
            CrlScope::Delta => "delta",
            CrlScope::Shard(_) => "shard",
        };
        metrics::histogram!("countersign_crl_signing_seconds", "scope" => scope)
            .record(started.elapsed().as_secs_f64());
        Ok(signed)
    }

    fn plan(&self, kind: CrlKind) -> CrlPlan {
        CrlPlan {
            issuer_subject: self.issuer_subject.clone(),
            issuer_ski: self.authority.ski.clone(),
            key_type: self.authority.key_type,
            number: u64::try_from(self.number).unwrap_or_default(),
            this_update: self.this_update,
            next_update: self.next_update,
            kind,
        }
    }

    fn crl(&self, scope: CrlScope, distribution_point: Option<String>, body: CrlBody) -> Crl {
        Crl {
            authority: self.authority.id,
            scope,
            number: self.number,
            this_update: self.this_update,
            next_update: self.next_update,
            distribution_point,
            body,
        }
    }
}

pub(super) fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time)
}
