//! Lists: every page of every list is the part of the whole that it says it is.

use countersign::domain::certificate::CertificateFilter;
use countersign::domain::id::CertificateId;
use countersign::domain::status::Status;
use countersign::store::Window;

use crate::harness::Installation;

const COUNT: i64 = 17;

async fn ids(
    installation: &Installation,
    filter: &CertificateFilter,
    offset: i64,
    length: i64,
) -> (Vec<CertificateId>, i64) {
    let window = Window { offset, length };
    let page = installation.service.certificates(&installation.permit().await, filter.clone(), window).await.unwrap();
    (page.items.iter().map(|certificate| certificate.id).collect(), page.total)
}

#[tokio::test]
async fn every_page_is_the_part_of_the_list_that_it_says() {
    let installation = Installation::new().await;
    for number in 0..COUNT {
        let certificate = installation.issue(&format!("device-{:02}", number % 10)).await;
        if number % 3 == 0 {
            installation.revoke(certificate.id, None).await;
        }
    }
    for filter in [
        CertificateFilter::default(),
        CertificateFilter { status: Some(Status::PendingRevocation), ..CertificateFilter::default() },
        CertificateFilter { common_name: Some("device-0".into()), ..CertificateFilter::default() },
        CertificateFilter { common_name: Some("nobody".into()), ..CertificateFilter::default() },
    ] {
        let (whole, total) = ids(&installation, &filter, 0, 1000).await;
        assert_eq!(i64::try_from(whole.len()).unwrap(), total);
        assert!(whole.is_sorted(), "oldest first");
        for offset in [0, 1, 5, 8, 9, 10, 15, 16, 17, 18, i64::MAX] {
            for length in [0, 1, 4, 100] {
                let expected: Vec<_> = whole
                    .iter()
                    .skip(usize::try_from(offset).unwrap())
                    .take(usize::try_from(length).unwrap())
                    .copied()
                    .collect();
                assert_eq!(
                    ids(&installation, &filter, offset, length).await,
                    (expected, total),
                    "{filter:?} {offset} {length}"
                );
            }
        }
    }
}
