//! Listening to events: in pages, or in a stream that waits for the next ones. A stream is pulled: what its reader does not
//! take is not read from the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use crate::domain::event_stream::{Kinds, NumberedEvent};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::permission::Permission;
use crate::store::{EventBatch, EventChoice, EventRange};

use super::access::{ReadCertificates, ZonePermit};
use super::{Service, ServiceError};

/// How many streams there may be: of one token, in one account, and in this process.
const STREAMS_OF_TOKEN: usize = 8;
const STREAMS_IN_ACCOUNT: usize = 64;
const STREAMS: usize = 512;
/// How many events a stream reads at once.
const EVENTS_AT_ONCE: i64 = 100;
/// How soon a stream ends after its token was deleted or has expired.
const VERIFIED_EVERY: Duration = Duration::from_secs(5);
/// How long a stream says nothing: proxies end what is quiet for a minute.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

/// What a listener wants to hear.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The number after which to begin; without one, what happens from now on.
    pub after: Option<i64>,
    pub kinds: Kinds,
}

/// What a stream brings.
#[derive(Debug)]
pub enum Tidings {
    Events(Vec<NumberedEvent>),
    /// Events after `after` are not kept any more: it goes on with those after `resumes_after`.
    Gap {
        after: i64,
        resumes_after: i64,
    },
    /// Nothing happened for a while.
    Silence,
}

/// Some events, and where to go on.
#[derive(Debug)]
pub struct EventPage {
    pub events: Vec<NumberedEvent>,
    pub looked_until: i64,
    pub is_end: bool,
}

/// A listener's place in the order of events.
pub struct EventStream {
    service: Arc<Service>,
    choice: EventChoice,
    credential: SecretString,
    source: String,
    /// Everything up to here was told or passed over.
    cursor: i64,
    gap: Option<Tidings>,
    newest: watch::Receiver<i64>,
    closing: watch::Receiver<bool>,
    verified: Instant,
    spoke: Instant,
    _seat: Seat,
}

impl Service {
    /// One page of events after a number, at most `limit`; without a number, where the newest stands.
    pub async fn events(
        &self,
        permit: &ZonePermit<ReadCertificates>,
        listening: Listening,
        limit: i64,
    ) -> Result<EventPage, ServiceError> {
        let Some(after) = listening.after else {
            let newest = self.store.last_event().await?;
            return Ok(EventPage { events: Vec::new(), looked_until: newest, is_end: true });
        };
        let choice = choice(permit, listening.kinds);
        let EventBatch { events, looked_until, is_end } = self.store.events_after(choice, after, limit).await?;
        Ok(EventPage { events, looked_until, is_end })
    }

    /// Begins a stream. The credential is verified again and again while it lasts.
    pub async fn listen(
        self: Arc<Self>,
        permit: ZonePermit<ReadCertificates>,
        listening: Listening,
        credential: SecretString,
    ) -> Result<EventStream, ServiceError> {
        let seat = self.listeners.seat(permit.caller().token().id, permit.account())?;
        let newest = self.newest_event();
        let (cursor, gap) = begin(listening.after, self.store.event_range().await?);
        Ok(EventStream {
            choice: choice(&permit, listening.kinds),
            source: permit.caller().source().to_owned(),
            credential,
            cursor,
            gap,
            newest,
            closing: self.closing.subscribe(),
            verified: Instant::now(),
            spoke: Instant::now(),
            service: self,
            _seat: seat,
        })
    }

    /// Ends all streams: the process is about to stop, and waits for nobody who only listens.
    pub fn close_streams(&self) {
        self.closing.send_replace(true);
    }
}

impl EventStream {
    /// What comes next; `None` at the end: the token is not valid any more, the service stops, or the store is away. Whoever
    /// listened may come again with the last number that it heard.
    pub async fn next(&mut self) -> Option<Tidings> {
        if let Some(gap) = self.gap.take() {
            return Some(self.speak(gap));
        }
        loop {
            if *self.closing.borrow() || !self.is_still_permitted().await {
                return None;
            }
            if *self.newest.borrow_and_update() > self.cursor {
                let batch = self.service.store.events_after(self.choice.clone(), self.cursor, EVENTS_AT_ONCE).await;
                let batch = batch.inspect_err(|error| tracing::debug!(%error, "a stream of events ends")).ok()?;
                self.cursor = batch.looked_until;
                if !batch.events.is_empty() {
                    return Some(self.speak(Tidings::Events(batch.events)));
                }
                if !batch.is_end {
                    continue;
                }
            }
            if self.spoke.elapsed() >= LONGEST_SILENCE {
                return Some(self.speak(Tidings::Silence));
            }
            self.wait().await;
        }
    }

    /// The number up to which everything was told.
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    fn speak(&mut self, tidings: Tidings) -> Tidings {
        self.spoke = Instant::now();
        tidings
    }

    /// Until something may have happened, or something is due.
    async fn wait(&mut self) {
        let silence = LONGEST_SILENCE.saturating_sub(self.spoke.elapsed());
        let due = VERIFIED_EVERY.saturating_sub(self.verified.elapsed()).min(silence);
        tokio::select! {
            _ = self.newest.changed() => {}
            _ = self.closing.changed() => {}
            () = self.service.clock.sleep(due) => {}
        }
    }

    /// Whether the token still may hear this. What it may hear of the account is settled anew, too.
    async fn is_still_permitted(&mut self) -> bool {
        if self.verified.elapsed() < VERIFIED_EVERY {
            return true;
        }
        let value = self.credential.expose_secret();
        let Ok(Some(caller)) = self.service.authenticate(value, self.source.clone()).await else { return false };
        let Ok(permit) = self.service.permit_in_zone::<ReadCertificates>(caller, self.choice.zone).await else {
            return false;
        };
        self.choice.with_account = may_hear_account(&permit);
        self.verified = Instant::now();
        true
    }
}

fn choice(permit: &ZonePermit<ReadCertificates>, kinds: Kinds) -> EventChoice {
    EventChoice { account: permit.account(), zone: permit.zone(), with_account: may_hear_account(permit), kinds }
}

/// Whether the caller may hear of what belongs to the account as a whole.
fn may_hear_account(permit: &ZonePermit<ReadCertificates>) -> bool {
    permit.caller().token().grants.allow_in_account(Permission::ReadIdentities, permit.account())
}

/// Where a stream begins. A number from before what is kept leaves a gap, and so does one that was never given, as when the
/// database was put back from a backup: then it goes on from now.
fn begin(after: Option<i64>, kept: EventRange) -> (i64, Option<Tidings>) {
    match after {
        None => (kept.newest, None),
        Some(0) => (0, None),
        Some(after) if after > kept.newest => (kept.newest, Some(Tidings::Gap { after, resumes_after: kept.newest })),
        Some(after) if after < kept.oldest - 1 => {
            (kept.oldest - 1, Some(Tidings::Gap { after, resumes_after: kept.oldest - 1 }))
        }
        Some(after) => (after, None),
    }
}

/// Who listens now.
#[derive(Default)]
pub(super) struct Listeners(Mutex<Seats>);

#[derive(Default)]
struct Seats {
    of_tokens: HashMap<TokenId, usize>,
    in_accounts: HashMap<AccountId, usize>,
    all: usize,
}

/// One listener among those that there may be. It ends with the value.
struct Seat {
    listeners: Arc<Listeners>,
    token: TokenId,
    account: AccountId,
}

impl Listeners {
    fn seat(self: &Arc<Self>, token: TokenId, account: AccountId) -> Result<Seat, ServiceError> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_token = seats.of_tokens.get(&token).copied().unwrap_or_default();
        let in_account = seats.in_accounts.get(&account).copied().unwrap_or_default();
        if of_token >= STREAMS_OF_TOKEN || in_account >= STREAMS_IN_ACCOUNT || seats.all >= STREAMS {
            return Err(ServiceError::Unavailable(format!(
                "too many streams of events are open: {of_token} of the token, {in_account} in the account, {} in all",
                seats.all
            )));
        }
        seats.of_tokens.insert(token, of_token + 1);
        seats.in_accounts.insert(account, in_account + 1);
        seats.all += 1;
        Ok(Seat { listeners: Arc::clone(self), token, account })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        leave(&mut seats.of_tokens, &self.token);
        leave(&mut seats.in_accounts, &self.account);
        seats.all = seats.all.saturating_sub(1);
    }
}

fn leave<Key: Eq + std::hash::Hash>(seats: &mut HashMap<Key, usize>, key: &Key) {
    let Some(count) = seats.get_mut(key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        seats.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_stream_begins_where_it_left_off_or_says_what_is_missing() {
        let kept = EventRange { oldest: 100, newest: 200 };
        let starts = |after| match begin(after, kept) {
            (cursor, None) => (cursor, false),
            (cursor, Some(Tidings::Gap { after: asked, resumes_after })) => {
                assert_eq!((Some(asked), resumes_after), (after, cursor));
                (cursor, true)
            }
            (_, Some(other)) => panic!("{other:?}"),
        };
        assert_eq!(starts(None), (200, false));
        assert_eq!(starts(Some(0)), (0, false));
        assert_eq!(starts(Some(1)), (99, true));
        assert_eq!(starts(Some(98)), (99, true));
        assert_eq!(starts(Some(99)), (99, false));
        assert_eq!(starts(Some(200)), (200, false));
        assert_eq!(starts(Some(201)), (200, true));
        assert!(begin(Some(1), EventRange { oldest: 0, newest: 0 }).1.is_some());
    }

    #[test]
    fn listeners_are_counted_by_token_account_and_all() {
        let listeners = Arc::new(Listeners::default());
        let token = |number| TokenId::new(Uuid::from_u128(number));
        let account = |number| AccountId::new(Uuid::from_u128(number));
        let mut seats: Vec<_> = (0..8).map(|_| listeners.seat(token(1), account(1)).unwrap()).collect();
        assert!(listeners.seat(token(1), account(1)).is_err());
        seats.extend((0..56).map(|number| listeners.seat(token(2 + number), account(1)).unwrap()));
        assert!(listeners.seat(token(100), account(1)).is_err(), "the account has 64");
        for number in 0..448 {
            seats.push(listeners.seat(token(1000 + number), account(2 + number / 64)).unwrap());
        }
        assert!(listeners.seat(token(5000), account(5000)).is_err(), "there are 512");
        seats.clear();
        let state = listeners.0.lock().unwrap();
        assert!(state.of_tokens.is_empty() && state.in_accounts.is_empty() && state.all == 0);
    }
}
