//! Identities that end soon: an event at 30, 14, 7 and 1 days, each once, and a metric.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::audit::Action;
use crate::domain::event::Event;
use crate::domain::identity::{EXPIRY_NOTICES, due_expiry_notice};

use super::{Service, ServiceError};

/// How many notices of each kind are given in one go; the rest come with the next.
const BATCH: i64 = 500;

impl Service {
    /// Gives the notices that are due and measures how many identities end soon.
    pub async fn note_expiring_identities(&self) -> Result<(), ServiceError> {
        let now = self.clock.now();
        // The nearest ends first: who is told of the last day needs no word of the last month.
        for days in EXPIRY_NOTICES.into_iter().rev() {
            self.announce(now, days).await?;
        }
        self.measure_expiry().await
    }

    async fn announce(&self, now: DateTime<Utc>, days: i16) -> Result<(), ServiceError> {
        let until = now + TimeDelta::days(i64::from(days));
        for (identity, given) in self.store.identities_to_announce(now, until, days, BATCH).await? {
            let Some(within_days) = due_expiry_notice(identity.facts.not_after, given, now) else { continue };
            let event = Event::IdentityExpiring {
                identity: identity.id,
                name: identity.name.clone(),
                expires_on: identity.facts.not_after,
                within_days,
            };
            let (id, name) = (identity.id, identity.name.clone());
            let news = self.news(identity.account, Action::NoteExpiry, event);
            if self.store.note_expiry(identity, given, within_days, news).await? {
                tracing::warn!(identity = %id, name, within_days, "an identity ends soon");
            }
        }
        Ok(())
    }

    /// `countersign_identities_expiring{within_days}`: how many end within so many days; 0 for those that have ended.
    async fn measure_expiry(&self) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let days: Vec<i16> = std::iter::once(0).chain(EXPIRY_NOTICES).collect();
        let ends = days.iter().map(|days| now + TimeDelta::days(i64::from(*days))).collect();
        let counts = self.store.count_identities_ending(ends).await?;
        let ended = counts.first().copied().unwrap_or_default();
        for (days, count) in days.iter().zip(counts) {
            let within = if *days == 0 { count } else { count - ended };
            #[expect(clippy::cast_precision_loss, reason = "a count for a gauge")]
            metrics::gauge!("countersign_identities_expiring", "within_days" => days.to_string()).set(within as f64);
        }
        Ok(())
    }
}
