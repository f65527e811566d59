//! Asking for many certificates at once: what would that be, is it meant, and then until it is done.

use serde_json::{Map, Value};

use super::job::{self, Job, Preview};
use super::{Many, certificates, conditions, jobs, watch};
use crate::cli::client::{Call, Client};
use crate::cli::connection::{Connection, ZoneChoice};
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::{Context, envelope, output, terminal};
use crate::domain::id::{JobId, ZoneId};

/// `asked` is the request without its selection: the action, and what belongs to it.
pub async fn run(
    many: &Many,
    mut asked: Map<String, Value>,
    zone: &ZoneChoice,
    connection: &Connection,
    context: &Context,
) -> Result<(), CliError> {
    asked.insert("filter".into(), conditions::filter(&many.conditions).map_err(CliError::usage)?);
    if !many.dry_run && !many.yes && !terminal::is_attended() {
        return Err(CliError::usage(
            "there is nobody to ask whether that is meant: add --yes, or --dry-run to only look",
        ));
    }
    let client = connection.open(context)?;
    let zone = zone.resolve(&client, context).await?;
    if many.dry_run || !many.yes {
        let looked_at = preview(&client, zone, &asked).await?;
        if many.dry_run {
            return print(&looked_at, connection.json);
        }
        let looked_at: Preview = envelope::read(&looked_at)?;
        if looked_at.total == 0 {
            output::note("no certificate of this zone matches; nothing was done");
            return Ok(());
        }
        if !terminal::confirm(&question(&looked_at, &asked))? {
            return Err(CliError::failure("nothing was done"));
        }
    }
    let answer = client.call(Call::post(jobs(zone), Value::Object(asked))).await?;
    let made: Job = answer.read()?;
    if made.total == 0 {
        output::note("no certificate of this zone matches");
    }
    if many.detach {
        return job::print(&answer.result, connection.json);
    }
    let id = JobId::parse(&made.id).ok_or_else(|| CliError::failure("the server gave a job's id that is none"))?;
    watch::until_over(&client, zone, id, connection.json, context).await
}

async fn preview(client: &Client, zone: ZoneId, asked: &Map<String, Value>) -> Result<Value, CliError> {
    let mut asked = asked.clone();
    asked.insert("dry_run".into(), Value::Bool(true));
    Ok(client.call(Call::post(jobs(zone), Value::Object(asked))).await?.result)
}

fn print(looked_at: &Value, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json(looked_at);
    }
    let looked_at: Preview = envelope::read(looked_at)?;
    output::fields(&[
        ("certificates", looked_at.total.to_string()),
        ("would change", looked_at.would_change.to_string()),
        ("would stay", looked_at.would_stay.to_string()),
        ("would be refused", looked_at.would_be_refused.to_string()),
    ])?;
    if looked_at.samples.is_empty() {
        return Ok(());
    }
    let left = looked_at.total.saturating_sub(looked_at.samples.len() as u64);
    let rows = looked_at.samples.into_iter().map(|sample| vec![sample.id, sample.common_name, sample.status]);
    output::table(&["ID", "NAME", "STATUS"], rows)?;
    if left > 0 {
        output::note(format_args!("and {left} more"));
    }
    Ok(())
}

fn question(looked_at: &Preview, asked: &Map<String, Value>) -> String {
    let names: Vec<_> = looked_at.samples.iter().take(5).map(|sample| escape(&sample.common_name)).collect();
    let dots = if looked_at.total > names.len() as u64 { ", …" } else { "" };
    let names = if names.is_empty() { String::new() } else { format!(" ({}{dots})", names.join(", ")) };
    let action = asked.get("action").and_then(Value::as_str).unwrap_or_default();
    let reason = asked.get("reason").and_then(Value::as_str);
    let manner = match (action, reason) {
        ("revoke", Some(reason)) if reason != "certificateHold" => format!(", for good: {reason}"),
        ("revoke", _) => ", so that they can be reactivated where their profile allows a hold".to_owned(),
        _ => String::new(),
    };
    let (changed, stay) = (certificates(looked_at.would_change), looked_at.would_stay);
    let are = if stay == 1 { "is" } else { "are" };
    format!(
        "{action} {changed}{names}{manner}? {stay} {are} so already, {} would be refused.",
        looked_at.would_be_refused
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::bulk::job::Sample;

    #[test]
    fn the_question_says_how_many_which_and_whether_it_is_for_good() {
        let sample = |name: &str| Sample { common_name: name.into(), ..Sample::default() };
        let looked_at = Preview {
            total: 3,
            would_change: 2,
            would_stay: 1,
            samples: vec![sample("a\u{7}"), sample("b")],
            ..Preview::default()
        };
        let ask = |asked: Value| question(&looked_at, asked.as_object().unwrap());
        let told = ask(json!({"action": "revoke", "reason": "superseded"}));
        assert_eq!(
            told,
            "revoke 2 certificates (a\\u{7}, b, …), for good: superseded? 1 is so already, 0 would be refused."
        );
        assert!(ask(json!({"action": "revoke"})).contains("can be reactivated"));
        let one = Preview { total: 3, would_change: 1, would_stay: 2, ..Preview::default() };
        assert!(question(&one, &Map::new()).ends_with(" 1 certificate? 2 are so already, 0 would be refused."));
        assert!(ask(json!({"action": "reactivate"})).starts_with("reactivate 2 certificates (a\\u{7}, b, …)?"));
    }
}
