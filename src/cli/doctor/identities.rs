//! Checks of identities and of the API checks that present them.

use serde_json::Value;

use super::finding::Report;
use crate::cli::Context;
use crate::cli::client::{Call, Client};
use crate::cli::envelope;
use crate::cli::objects::{Check, Identity, time};
use crate::cli::resolve;

/// So many are named one by one.
const NAMED: usize = 20;

/// Says nothing where the token may not look at them.
pub async fn check(report: &mut Report, client: &Client, context: &Context) {
    let Ok(account) = resolve::account(client, None).await else { return };
    let account = format!("/client/v4/accounts/{account}");
    let ending = Call::get(format!("{account}/mtls_certificates")).query("expiring_within", "30d");
    if let Some(ending) = some_of::<Identity>(client, ending).await {
        let now = context.clock.now();
        for identity in ending.iter().filter(|identity| identity.managed.is_none()) {
            let has_ended = time(&identity.expires_on).is_some_and(|end| end <= now);
            let message =
                format!("{:?} {} on {}", identity.name, if has_ended { "ended" } else { "ends" }, identity.expires_on);
            report.warn("identity", message, "put in a newer one with `countersign identity replace`");
        }
        if ending.iter().all(|identity| identity.managed.is_some()) {
            report.ok("identities", "none ends within 30 days");
        }
    }
    let failing = Call::get(format!("{account}/checks")).query("state", "failing");
    for check in some_of::<Check>(client, failing).await.unwrap_or_default() {
        let message = format!("{:?} on {} is failing", check.name, check.url);
        report.warn("check", message, "`countersign check runs` says why");
    }
}

async fn some_of<T: serde::de::DeserializeOwned>(client: &Client, list: Call) -> Option<Vec<T>> {
    let answer = client.call(list.query("per_page", NAMED.to_string())).await.ok()?;
    envelope::read(&Value::Array(answer.items().to_vec())).ok()
}
