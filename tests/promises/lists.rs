//! Lists: every page of every list is the part of the whole that it says it is.

use std::time::Duration;

use chrono::TimeDelta;
use countersign::domain::certificate::{CertificateFilter, CertificateOrder};
use countersign::domain::id::CertificateId;
use countersign::domain::status::Status;
use countersign::service::issuance::IssueInput;
use countersign::store::Window;

use crate::harness::{Installation, csr};

const COUNT: i64 = 17;

async fn ids(
    installation: &Installation,
    filter: &CertificateFilter,
    order: CertificateOrder,
    offset: i64,
    length: i64,
) -> (Vec<CertificateId>, i64) {
    let window = Window { offset, length };
    let permit = installation.permit().await;
    let page = installation.service.certificates(&permit, filter.clone(), order, window).await.unwrap();
    (page.items.iter().map(|certificate| certificate.id).collect(), page.total)
}

#[tokio::test]
async fn every_page_is_the_part_of_the_list_that_it_says() {
    let installation = Installation::new().await;
    for number in 0..COUNT {
        // Several end at the same time.
        let certificate =
            installation.try_issue(&format!("device-{:02}", number % 10), 1 + number * 7 % 5).await.unwrap();
        if number % 3 == 0 {
            installation.revoke(certificate.id, None).await;
        }
    }
    let permit = installation.permit().await;
    for filter in [
        CertificateFilter::default(),
        // Most have the one status, a few the other: they are found by different indexes.
        CertificateFilter { status: Some(Status::Active), ..CertificateFilter::default() },
        CertificateFilter { status: Some(Status::PendingRevocation), ..CertificateFilter::default() },
        CertificateFilter { common_name: Some("device-0".into()), ..CertificateFilter::default() },
        CertificateFilter { common_name: Some("nobody".into()), ..CertificateFilter::default() },
    ] {
        let all = Window { offset: 0, length: 1000 };
        for order in ORDERS {
            let page = installation.service.certificates(&permit, filter.clone(), order, all).await.unwrap();
            let ends: Vec<_> = page.items.iter().map(|one| (one.not_after, one.id)).collect();
            let (whole, total): (Vec<_>, _) = (page.items.iter().map(|one| one.id).collect(), page.total);
            assert_eq!(i64::try_from(whole.len()).unwrap(), total);
            assert!(match order {
                CertificateOrder::OldestFirst => whole.is_sorted(),
                CertificateOrder::NewestFirst => whole.is_sorted_by(|one, next| one > next),
                CertificateOrder::FirstToEnd => ends.is_sorted(),
                CertificateOrder::LastToEnd => ends.is_sorted_by(|one, next| one > next),
            });
            every_part_of(&installation, &filter, order, &whole, total).await;
        }
    }
}

/// More than there are from one remembered place to the next.
const MANY: usize = 6_000;

#[tokio::test]
async fn a_page_in_the_middle_is_right_also_beside_a_process_whose_clock_is_behind() {
    let installation = Installation::new().await;
    let began = installation.now();
    installation.clock.advance(Duration::from_secs(3600));
    let first = installation.issue("device").await;
    installation.copy(&first, MANY);
    installation.clock.advance(Duration::from_secs(3600));
    let (filter, order) = (CertificateFilter::default(), CertificateOrder::OldestFirst);
    for _ in 0..20 {
        // Somebody asks for the middle, and the list is walked beside.
        ids(&installation, &filter, order, 3_000, 4).await;
        installation.clock.sleep(Duration::from_millis(50)).await;
    }

    installation.clock.set(began + TimeDelta::minutes(30));
    let other = installation.second_service().await;
    let permit = other.permit_in_zone(installation.caller().await, installation.zone).await.unwrap();
    let input = IssueInput { csr: Some(csr("of an hour ago")), validity_days: Some(30), ..IssueInput::default() };
    let late = other.issue(&permit, input).await.unwrap().certificate;
    installation.clock.set(began + TimeDelta::hours(3));
    let (whole, total) = ids(&installation, &filter, order, 0, 2 * i64::try_from(MANY).unwrap()).await;
    assert_eq!((whole.first(), whole.len()), (Some(&late.id), MANY + 2));
    for offset in [1_500, 3_000, 4_500] {
        let start = usize::try_from(offset).unwrap();
        let expected = (whole[start..start + 4].to_vec(), total);
        assert_eq!(ids(&installation, &filter, order, offset, 4).await, expected, "{offset}");
    }
}

const ORDERS: [CertificateOrder; 4] = [
    CertificateOrder::OldestFirst,
    CertificateOrder::NewestFirst,
    CertificateOrder::FirstToEnd,
    CertificateOrder::LastToEnd,
];

async fn every_part_of(
    installation: &Installation,
    filter: &CertificateFilter,
    order: CertificateOrder,
    whole: &[CertificateId],
    total: i64,
) {
    for offset in [0, 1, 5, 8, 9, 10, 15, 16, 17, 18, i64::MAX] {
        for length in [0, 1, 4, 100] {
            let expected: Vec<_> = whole
                .iter()
                .skip(usize::try_from(offset).unwrap())
                .take(usize::try_from(length).unwrap())
                .copied()
                .collect();
            assert_eq!(
                ids(installation, filter, order, offset, length).await,
                (expected, total),
                "{filter:?} {order:?} {offset} {length}"
            );
        }
    }
}
