//! The life of a certificate: its status, and the one table that says what may follow what.
//!
//! ```text
//! POST ─► active ─DELETE─► pending_revocation ─worker─► revoked
//!           ▲                      │ PATCH                 │ PATCH (hold only)
//!           └──worker── pending_reactivation ◄─────────────┘
//! ```
//!
//! Rules: wire contract, section 8, rows 5 to 9. There is no `expired`: an expired certificate keeps its status.

use std::fmt;

use super::reason::RevocationReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Active,
    PendingRevocation,
    Revoked,
    PendingReactivation,
}

impl Status {
    pub const ALL: [Self; 4] = [Self::Active, Self::PendingRevocation, Self::Revoked, Self::PendingReactivation];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::PendingRevocation => "pending_revocation",
            Self::Revoked => "revoked",
            Self::PendingReactivation => "pending_reactivation",
        }
    }

    /// Reads the word in any case: Terraform checks it case-insensitively and forwards what was typed.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text))
    }

    pub fn code(self) -> i16 {
        self as i16
    }

    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Where a certificate stands: what the table decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub status: Status,
    /// The recorded reason, from the request to revoke until the certificate is active again.
    pub reason: Option<RevocationReason>,
    /// Whether its notAfter has passed.
    pub is_expired: bool,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Revoke(RevocationReason),
    Reactivate,
}

/// What follows from asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changes, and that is a success: every SDK repeats after a time-out.
    Unchanged,
    /// The certificate moves to this status with this reason, and the worker has work.
    Moves {
        to: Status,
        reason: RevocationReason,
    },
    Refused(Refusal),
}

/// Why a change is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Only a hold can be lifted (RFC 5280, 5.3.1).
    RevocationIsFinal(RevocationReason),
    HasExpired,
}

/// The one transition table.
pub fn change(standing: Standing, change: Change) -> Outcome {
    match change {
        Change::Revoke(reason) => revoke(standing, reason),
        Change::Reactivate => reactivate(standing),
    }
}

/// The status that the worker moves a certificate to once the CRL that says so is published.
pub fn settled(status: Status) -> Status {
    match status {
        Status::PendingRevocation | Status::Revoked => Status::Revoked,
        Status::PendingReactivation | Status::Active => Status::Active,
    }
}

fn revoke(standing: Standing, reason: RevocationReason) -> Outcome {
    let moves = Outcome::Moves { to: Status::PendingRevocation, reason };
    match (standing.status, standing.reason) {
        (Status::Active | Status::PendingReactivation, _) => moves,
        (Status::PendingRevocation | Status::Revoked, Some(recorded)) if recorded.is_hold() && !reason.is_hold() => {
            moves
        }
        (Status::PendingRevocation | Status::Revoked, _) => Outcome::Unchanged,
    }
}

fn reactivate(standing: Standing) -> Outcome {
    let reason = match standing.status {
        Status::Active | Status::PendingReactivation => return Outcome::Unchanged,
        Status::PendingRevocation | Status::Revoked => standing.reason.unwrap_or(RevocationReason::Unspecified),
    };
    if !reason.is_hold() {
        return Outcome::Refused(Refusal::RevocationIsFinal(reason));
    }
    if standing.is_expired {
        return Outcome::Refused(Refusal::HasExpired);
    }
    Outcome::Moves { to: Status::PendingReactivation, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use RevocationReason::{CertificateHold, KeyCompromise, Superseded, Unspecified};

    fn standing(status: Status, reason: Option<RevocationReason>) -> Standing {
        Standing { status, reason, is_expired: false }
    }

    fn moves(to: Status, reason: RevocationReason) -> Outcome {
        Outcome::Moves { to, reason }
    }

    #[test]
    fn every_cell_of_the_table() {
        use Status::{Active, PendingReactivation, PendingRevocation, Revoked};
        let hold = Some(CertificateHold);
        let last = Some(KeyCompromise);
        let revoke = Change::Revoke;
        for (from, asked, expected) in [
            (standing(Active, None), revoke(CertificateHold), moves(PendingRevocation, CertificateHold)),
            (standing(Active, None), revoke(Unspecified), moves(PendingRevocation, Unspecified)),
            (standing(Active, None), Change::Reactivate, Outcome::Unchanged),
            (standing(PendingRevocation, hold), revoke(CertificateHold), Outcome::Unchanged),
            (standing(PendingRevocation, hold), revoke(KeyCompromise), moves(PendingRevocation, KeyCompromise)),
            (standing(PendingRevocation, last), revoke(CertificateHold), Outcome::Unchanged),
            (standing(PendingRevocation, last), revoke(Superseded), Outcome::Unchanged),
            (standing(PendingRevocation, hold), Change::Reactivate, moves(PendingReactivation, CertificateHold)),
            (
                standing(PendingRevocation, last),
                Change::Reactivate,
                Outcome::Refused(Refusal::RevocationIsFinal(KeyCompromise)),
            ),
            (standing(Revoked, hold), revoke(CertificateHold), Outcome::Unchanged),
            (standing(Revoked, hold), revoke(Superseded), moves(PendingRevocation, Superseded)),
            (standing(Revoked, last), revoke(CertificateHold), Outcome::Unchanged),
            (standing(Revoked, hold), Change::Reactivate, moves(PendingReactivation, CertificateHold)),
            (standing(Revoked, last), Change::Reactivate, Outcome::Refused(Refusal::RevocationIsFinal(KeyCompromise))),
            (standing(PendingReactivation, hold), revoke(CertificateHold), moves(PendingRevocation, CertificateHold)),
            (standing(PendingReactivation, hold), revoke(KeyCompromise), moves(PendingRevocation, KeyCompromise)),
            (standing(PendingReactivation, hold), Change::Reactivate, Outcome::Unchanged),
        ] {
            assert_eq!(change(from, asked), expected, "{from:?} {asked:?}");
        }
    }

    #[test]
    fn an_expired_certificate_is_not_reactivated_but_can_be_revoked() {
        let expired = |status| Standing { status, reason: Some(CertificateHold), is_expired: true };
        assert_eq!(change(expired(Status::Revoked), Change::Reactivate), Outcome::Refused(Refusal::HasExpired));
        assert!(matches!(change(expired(Status::Active), Change::Revoke(Superseded)), Outcome::Moves { .. }));
    }

    #[test]
    fn the_worker_settles_only_pending_states() {
        assert_eq!(settled(Status::PendingRevocation), Status::Revoked);
        assert_eq!(settled(Status::PendingReactivation), Status::Active);
        for status in Status::ALL {
            assert_eq!(settled(settled(status)), settled(status));
        }
    }

    /// One step of a certificate's life: somebody asks, or the worker carries out.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask(Change),
        Work,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let reasons = prop::sample::select(vec![CertificateHold, KeyCompromise, Superseded, Unspecified]);
        let step = prop_oneof![
            reasons.prop_map(|reason| Step::Ask(Change::Revoke(reason))),
            Just(Step::Ask(Change::Reactivate)),
            Just(Step::Work),
        ];
        prop::collection::vec(step, 0..40)
    }

    /// What the store does with an outcome.
    fn take(standing: Standing, step: Step) -> Standing {
        match step {
            Step::Ask(asked) => match change(standing, asked) {
                Outcome::Moves { to, reason } => Standing { status: to, reason: Some(reason), ..standing },
                Outcome::Unchanged | Outcome::Refused(_) => standing,
            },
            Step::Work => {
                let status = settled(standing.status);
                let reason = standing.reason.filter(|_| status == Status::Revoked);
                Standing { status, reason, ..standing }
            }
        }
    }

    proptest! {
        #[test]
        fn a_final_revocation_is_final_whatever_follows(steps in steps()) {
            let mut standing = standing(Status::Active, None);
            let mut is_final = false;
            for step in steps {
                standing = take(standing, step);
                let revoked = matches!(standing.status, Status::Revoked | Status::PendingRevocation);
                is_final |= revoked && standing.reason.is_some_and(|reason| !reason.is_hold());
                prop_assert!(!is_final || revoked, "{standing:?}");
                // An active certificate has no reason, a revoked one always has.
                prop_assert_eq!(standing.reason.is_some(), standing.status != Status::Active);
            }
        }

        #[test]
        fn asking_twice_is_asking_once(steps in steps(), reason in prop::sample::select(vec![CertificateHold, Superseded])) {
            let standing = steps.into_iter().fold(standing(Status::Active, None), take);
            for asked in [Change::Revoke(reason), Change::Reactivate] {
                let once = take(standing, Step::Ask(asked));
                prop_assert_eq!(take(once, Step::Ask(asked)), once);
            }
        }

        #[test]
        fn a_hold_can_always_be_lifted_and_work_always_settles(steps in steps()) {
            let standing = steps.into_iter().fold(standing(Status::Active, None), take);
            let settled = take(standing, Step::Work);
            prop_assert!(matches!(settled.status, Status::Active | Status::Revoked));
            if settled.reason == Some(CertificateHold) {
                let lifted = take(take(settled, Step::Ask(Change::Reactivate)), Step::Work);
                prop_assert_eq!(lifted.status, Status::Active);
            }
        }
    }
}
