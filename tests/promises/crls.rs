//! Deltas, shards and the chain: whichever CRL a relying party reads, it learns the same.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, TimeZone, Utc};
use countersign::domain::authority::CrlScope;
use countersign::domain::certificate::Certificate;
use countersign::domain::id::AuthorityId;
use countersign::domain::reason::RevocationReason::{self, CertificateHold, Superseded};
use countersign::domain::revocation::RevokedEntry;
use countersign::domain::status::Status;
use countersign::service::ServiceError;
use countersign::service::access::CreateAuthority;
use countersign::service::authorities::AuthorityOptions;
use countersign::service::certificates::RevocationRequest;
use countersign::service::publication::Published;
use countersign::x509::certificate;
use countersign::x509::crl::CrlFacts;

use crate::database::TestDatabase;
use crate::harness::{CRL_VALIDITY, DAY, Installation, is_listed};

#[tokio::test]
async fn a_delta_brings_its_base_to_where_the_complete_crl_is() {
    let installation = Installation::new().await;
    let mut certificates = Vec::new();
    for number in 0..6 {
        certificates.push(installation.issue(&format!("device-{number}")).await);
    }
    let authority = certificates[0].authority;
    let mut complete = vec![installation.crl(authority).await];
    assert_eq!(complete[0].freshest, None, "there is no delta yet");
    assert!(installation.service.public_crl(Some(authority), CrlScope::Delta).await.is_err());

    let steps: [(usize, Option<RevocationReason>); 8] = [
        (0, Some(CertificateHold)),
        (1, Some(CertificateHold)),
        (0, None),
        (2, Some(Superseded)),
        (1, Some(Superseded)),
        (3, Some(CertificateHold)),
        (3, None),
        (3, Some(CertificateHold)),
    ];
    for (index, reason) in steps {
        match reason {
            Some(reason) => installation.revoke(certificates[index].id, Some(reason)).await,
            None => installation.reactivate(certificates[index].id).await.unwrap(),
        };
        installation.publish(authority).await.unwrap();
        complete.push(installation.crl(authority).await);
        let delta = installation.scope(authority, CrlScope::Delta).await;
        let latest = complete.last().unwrap();
        assert_eq!(delta.number, latest.number);
        assert_eq!(latest.freshest.as_deref(), Some(format!("http://pki.test/pki/{authority}/crl/delta").as_str()));
        // Every complete CRL from the base on may be brought up to date by it (RFC 5280, 5.2.4).
        let base = delta.base.unwrap();
        assert!(base < delta.number);
        for earlier in complete.iter().filter(|crl| crl.number >= base) {
            assert_eq!(applied(earlier, &delta), latest.entries, "{} with {}", earlier.number, delta.number);
        }
    }
    let delta = installation.scope(authority, CrlScope::Delta).await;
    assert_eq!(delta.base, Some(1), "the base stays");
    assert_eq!(delta.removed, [certificates[0].serial.clone()], "a released hold is removeFromCRL");
}

#[tokio::test]
async fn the_base_of_the_deltas_moves_on_when_it_is_old() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    installation.revoke(certificate.id, None).await;
    installation.publish(certificate.authority).await.unwrap();
    assert_eq!(installation.scope(certificate.authority, CrlScope::Delta).await.base, Some(1));
    installation.clock.advance(CRL_VALIDITY.to_std().unwrap() / 2);
    installation.publish(certificate.authority).await.unwrap();
    let delta = installation.scope(certificate.authority, CrlScope::Delta).await;
    assert_eq!((delta.number, delta.base, delta.entries.len()), (3, Some(2), 0));
    assert_eq!(installation.count("SELECT COUNT(*) FROM crl_changes"), 0, "what came before the base is forgotten");
}

#[tokio::test]
async fn a_certificate_that_ended_leaves_the_delta_as_it_leaves_the_complete_crl() {
    let installation = Installation::new().await;
    let short = installation.try_issue("device", 1).await.unwrap();
    installation.revoke(short.id, None).await;
    installation.publish(short.authority).await.unwrap();
    let listed = installation.crl(short.authority).await;
    for _ in 0..2 {
        installation.clock.advance(DAY);
        installation.publish(short.authority).await.unwrap();
    }
    let delta = installation.scope(short.authority, CrlScope::Delta).await;
    assert_eq!(delta.removed, std::slice::from_ref(&short.serial));
    assert_eq!(applied(&listed, &delta), installation.crl(short.authority).await.entries);
    assert_eq!(installation.count("SELECT COUNT(*) FROM revocations"), 1, "what was revoked stays known");
}

#[tokio::test]
async fn a_sharded_authority_names_the_shard_in_each_certificate_and_lists_it_there() {
    let installation = Installation::new().await;
    let (zone, authority) = installation.sharded_zone(4).await;
    let mut certificates = Vec::new();
    for number in 0..24 {
        certificates.push(installation.issue_in(zone, &format!("device-{number}"), 365).await);
    }
    for certificate in certificates.iter().step_by(2) {
        installation.revoke_in(zone, certificate.id, None).await;
    }
    installation.publish(authority).await.unwrap();

    let complete = installation.crl(authority).await;
    assert_eq!((complete.distribution_point.as_deref(), complete.entries.len()), (None, 12));
    let mut in_shards = Vec::new();
    for shard in 0..4 {
        let crl = installation.scope(authority, CrlScope::Shard(shard)).await;
        let address = format!("http://pki.test/pki/{authority}/crl/{shard}");
        assert_eq!((crl.distribution_point.as_deref(), crl.base, &crl.freshest), (Some(address.as_str()), None, &None));
        for certificate in &certificates {
            let points_here = certificate::read(&certificate.der).unwrap().crl_urls == [address.clone()];
            assert!(points_here || !is_listed(&crl, certificate));
            assert_eq!(points_here && is_listed(&complete, certificate), is_listed(&crl, certificate));
        }
        in_shards.extend(crl.entries);
    }
    in_shards.sort_by(|one, other| one.serial.cmp(&other.serial));
    assert_eq!(in_shards, sorted(complete.entries));
    assert!(installation.service.public_crl(Some(authority), CrlScope::Shard(4)).await.is_err());
}

#[tokio::test]
async fn only_touched_shards_are_signed_again_and_all_in_time() {
    let installation = Installation::new().await;
    let (zone, authority) = installation.sharded_zone(4).await;
    let certificate = installation.issue_in(zone, "device", 365).await;
    installation.revoke_in(zone, certificate.id, None).await;
    installation.publish(authority).await.unwrap();
    let mut numbers = installation.shard_numbers(authority).await;
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 1, 1, 2]);

    // A publication now and then keeps the complete CRL young; the untouched shards grow old beside it.
    let half = CRL_VALIDITY / 2;
    installation.clock.advance((half - TimeDelta::hours(1)).to_std().unwrap());
    installation.publish(authority).await.unwrap();
    assert!(!installation.service.authorities_to_refresh().await.unwrap().contains(&authority));
    installation.clock.advance(TimeDelta::hours(1).to_std().unwrap());
    assert!(installation.service.authorities_to_refresh().await.unwrap().contains(&authority));
    installation.publish(authority).await.unwrap();
    assert!(installation.shard_numbers(authority).await.iter().all(|number| *number == 4));
    assert!(!installation.service.authorities_to_refresh().await.unwrap().contains(&authority));
}

#[tokio::test]
async fn an_entry_leaves_its_shard_only_after_it_was_on_that_shards_crl_past_its_end() {
    let installation = Installation::new().await;
    let (zone, authority) = installation.sharded_zone(2).await;
    let ends = installation.issue_in(zone, "ends", 1).await;
    installation.revoke_in(zone, ends.id, None).await;
    installation.publish(authority).await.unwrap();
    let shard = installation.shard_of(authority, &ends).await;
    let other = loop {
        let other = installation.issue_in(zone, "other", 365).await;
        if installation.shard_of(authority, &other).await != shard {
            break other;
        }
    };
    // The end passes, and the other shard is signed again and again: this one was last signed before the end.
    for _ in 0..3 {
        installation.clock.advance(DAY);
        installation.revoke_in(zone, other.id, None).await;
        installation.publish(authority).await.unwrap();
        installation.reactivate_in(zone, other.id).await.unwrap();
        installation.publish(authority).await.unwrap();
        assert!(is_listed(&installation.scope(authority, CrlScope::Shard(shard)).await, &ends));
        assert!(is_listed(&installation.crl(authority).await, &ends));
    }
    // Half of its validity: now it is signed after the end, and the one after that is without the entry.
    installation.clock.advance(DAY);
    installation.publish(authority).await.unwrap();
    assert!(is_listed(&installation.scope(authority, CrlScope::Shard(shard)).await, &ends));
    installation.clock.advance(CRL_VALIDITY.to_std().unwrap() / 2);
    installation.publish(authority).await.unwrap();
    assert!(!is_listed(&installation.scope(authority, CrlScope::Shard(shard)).await, &ends));
    assert!(!is_listed(&installation.crl(authority).await, &ends));
}

#[tokio::test]
async fn a_number_that_does_not_grow_or_another_distribution_point_is_not_stored() {
    let installation = Installation::new().await;
    let (zone, authority) = installation.sharded_zone(2).await;
    let certificate = installation.issue_in(zone, "device", 365).await;
    let id = hex::encode(authority.as_bytes());
    for (fault, repair) in [
        ("number = 99", "number = 1"),
        (
            "distribution_point = 'http://elsewhere.test/crl'",
            &*format!("distribution_point = 'http://pki.test/pki/{authority}/crl/' || scope"),
        ),
    ] {
        installation.revoke_in(zone, certificate.id, None).await;
        installation.tamper(&format!("UPDATE crls SET {fault} WHERE scope >= 0 AND hex(authority_id) = upper('{id}')"));
        let refused = installation.publish(authority).await;
        assert!(
            matches!(&refused, Err(ServiceError::Internal(why) | ServiceError::Unavailable(why)) if why.contains("must not follow")),
            "{refused:?}"
        );
        assert_eq!(installation.show_in(zone, certificate.id).await.status, Status::PendingRevocation);
        assert_eq!(installation.crl(authority).await.number, 1);
        installation
            .tamper(&format!("UPDATE crls SET {repair} WHERE scope >= 0 AND hex(authority_id) = upper('{id}')"));
    }
    assert_eq!(installation.publish(authority).await.unwrap(), Published::Crl { number: 2, finished: 1 });
}

#[tokio::test]
async fn every_process_serves_the_same_octets_whether_it_signed_read_or_caught_up() {
    let installation = Installation::new().await;
    let (zone, authority) = installation.sharded_zone(3).await;
    let follower = installation.second_service().await;
    for round in 0..5 {
        for number in 0..4 {
            let certificate = installation.issue_in(zone, &format!("device-{round}-{number}"), 365).await;
            installation.revoke_in(zone, certificate.id, None).await;
            if number == 3 && round > 1 {
                installation.reactivate_in(zone, certificate.id).await.unwrap();
            }
        }
        installation.publish(authority).await.unwrap();
        let newcomer = installation.second_service().await;
        for scope in [CrlScope::Complete, CrlScope::Delta, CrlScope::Shard(0), CrlScope::Shard(1), CrlScope::Shard(2)] {
            let signed = installation.service.public_crl(Some(authority), scope).await.unwrap().der();
            for other in [&follower, &newcomer] {
                assert_eq!(other.public_crl(Some(authority), scope).await.unwrap().der(), signed, "{scope:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_crl_whose_parts_do_not_fit_is_not_handed_out_but_signed_anew() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let other = installation.issue("other").await;
    for id in [certificate.id, other.id] {
        installation.revoke(id, None).await;
    }
    installation.publish(certificate.authority).await.unwrap();
    installation.tamper(
        "UPDATE revocations SET reason = 4 WHERE serial = (SELECT serial FROM revocations ORDER BY serial LIMIT 1)",
    );
    let newcomer = installation.second_service().await;
    let refused = newcomer.public_crl(Some(certificate.authority), CrlScope::Complete).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable(_))), "{refused:?}");
    assert_eq!(newcomer.authorities_to_refresh().await.unwrap(), [certificate.authority]);
    let lease = newcomer.claim_lease(certificate.authority, uuid::Uuid::new_v4()).await.unwrap().unwrap();
    newcomer.publish(lease).await.unwrap();
    let crl = newcomer.public_crl(Some(certificate.authority), CrlScope::Complete).await.unwrap();
    assert_eq!(crl.number, 3);
}

/// While the first row is looked at, PostgreSQL has not got rid of the others: nobody holds them all.
#[tokio::test]
async fn a_long_list_is_read_row_by_row() {
    const ROWS: i64 = 300_000;
    const WAITS_FOR_ITS_READER: &str =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'ClientWrite'";
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    // SQLite hands rows on one by one anyway.
    let TestDatabase::Postgres(_) = &installation.database else { return };
    installation.tamper(&format!(
        "INSERT INTO revocations (authority_id, shard, serial, certificate_id, zone_id, reason, revoked_at, not_after, is_listed) \
         SELECT c.authority_id, 0, decode('10' || lpad(to_hex(n), 30, '0'), 'HEX'), c.id, c.zone_id, 0, 0, c.not_after, TRUE \
         FROM certificates c, generate_series(1, {ROWS}) n"
    ));
    let mut door = installation.database.connect();
    let looked = move |count: &mut i64, _: i32, _: RevokedEntry| {
        *count += 1;
        let deadline = Instant::now() + Duration::from_secs(30);
        while *count == 1 && door.count(WAITS_FOR_ITS_READER) == 0 {
            assert!(Instant::now() < deadline, "the whole list was taken from PostgreSQL at once");
        }
        Ok(())
    };
    let (_, count) = installation.store().gather_revocations(certificate.authority, 0, looked).await.unwrap();
    assert_eq!(count, ROWS);
}

#[tokio::test]
async fn a_new_authority_signs_and_the_one_before_goes_on_revoking() {
    let installation = Installation::new().await;
    let before = installation.issue("before").await;
    let permit = installation.permit::<CreateAuthority>().await;
    let made = installation
        .service
        .create_authority(&permit, AuthorityOptions { crl_shards: Some(8), key_type: None })
        .await
        .unwrap();
    let after = installation.issue("after").await;
    assert_eq!(after.authority, made.authority.id);
    assert_ne!(before.authority, after.authority);
    assert_eq!(installation.count("SELECT COUNT(*) FROM authorities WHERE zone_id IS NOT NULL AND state = 0"), 1);

    for certificate in [&before, &after] {
        installation.revoke(certificate.id, None).await;
        installation.publish(certificate.authority).await.unwrap();
        assert!(is_listed(&installation.crl(certificate.authority).await, certificate));
        assert_eq!(installation.show(certificate.id).await.status, Status::Revoked);
    }
    let chain = installation.service.public_crl_chain(Some(installation.zone)).await.unwrap();
    let authorities: Vec<AuthorityId> = chain.iter().map(|crl| crl.authority).collect();
    assert_eq!(authorities[..2], [after.authority, before.authority]);
    assert_eq!(authorities.len(), 3, "and the root");
}

#[tokio::test]
async fn an_invalidity_date_reaches_the_crl_and_may_not_lie_ahead_or_before_all_time() {
    let installation = Installation::new().await;
    let certificate = installation.issue("device").await;
    let since = installation.now() - TimeDelta::days(3);
    let request =
        |date| RevocationRequest { reason: Some(RevocationReason::KeyCompromise), invalidity_date: Some(date) };
    let service = &installation.service;
    let year = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap();
    for wrong in [installation.now() + TimeDelta::seconds(1), year(1), year(1949), year(1969), year(9999)] {
        let refused = service.revoke(&installation.permit().await, Some(certificate.id), request(wrong)).await;
        assert!(matches!(refused, Err(ServiceError::Invalid(_))), "{wrong}: {refused:?}");
    }
    service.revoke(&installation.permit().await, Some(certificate.id), request(since)).await.unwrap();
    installation.publish(certificate.authority).await.unwrap();
    let crl = installation.crl(certificate.authority).await;
    assert_eq!(crl.entries[0].invalidity_date, Some(since));
    assert_eq!(installation.show(certificate.id).await.revocation.unwrap().invalidity_date, Some(since));
}

#[tokio::test]
async fn a_date_that_no_crl_can_carry_holds_up_nobody() {
    let installation = Installation::new().await;
    let (odd, other) = (installation.issue("odd").await, installation.issue("other").await);
    for certificate in [&odd, &other] {
        installation.revoke(certificate.id, None).await;
    }
    // The year 1900: nobody can ask for it, and still.
    installation.tamper("UPDATE transitions SET invalidity_at = -2208988800000");
    assert_eq!(installation.publish(odd.authority).await.unwrap(), Published::Crl { number: 2, finished: 2 });
    assert_eq!(installation.crl(odd.authority).await.entries[0].invalidity_date, None);
}

/// RFC 5280, 6.3.3: what a relying party that holds `complete` knows after reading `delta`.
pub fn applied(complete: &CrlFacts, delta: &CrlFacts) -> Vec<RevokedEntry> {
    let touched = |entry: &&RevokedEntry| {
        !delta.removed.contains(&entry.serial) && delta.entries.iter().all(|changed| changed.serial != entry.serial)
    };
    sorted(complete.entries.iter().filter(touched).chain(&delta.entries).cloned().collect())
}

pub fn sorted(mut entries: Vec<RevokedEntry>) -> Vec<RevokedEntry> {
    entries.sort_by(|one, other| one.serial.cmp(&other.serial));
    entries
}

impl Installation {
    pub async fn scope(&self, authority: AuthorityId, scope: CrlScope) -> CrlFacts {
        let crl = self.service.public_crl(Some(authority), scope).await.unwrap();
        countersign::x509::crl::read(&crl.der()).unwrap()
    }

    async fn shard_of(&self, authority: AuthorityId, certificate: &Certificate) -> i32 {
        self.service.public_authority(Some(authority)).await.unwrap().shard_of(&certificate.serial)
    }

    async fn shard_numbers(&self, authority: AuthorityId) -> Vec<u64> {
        let mut numbers = Vec::new();
        for shard in 0..4 {
            numbers.push(self.scope(authority, CrlScope::Shard(shard)).await.number);
        }
        numbers
    }
}
