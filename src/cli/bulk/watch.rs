//! Watching a job until it is over. Whoever stops watching does not stop the job.

use std::time::Duration;

use serde_json::Value;
use tokio::signal;

use super::job::{self, Job};
use super::{certificates, jobs};
use crate::cli::client::{Call, Client};
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::progress::Bar;
use crate::cli::{Context, envelope, output};
use crate::domain::id::{JobId, ZoneId};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Ends when relying parties can see all of it; a job that came to another end, or refused something, is a failure.
pub async fn until_over(
    client: &Client,
    zone: ZoneId,
    id: JobId,
    as_json: bool,
    context: &Context,
) -> Result<(), CliError> {
    let result = tokio::select! {
        result = poll(client, zone, id, context) => result?,
        _ = signal::ctrl_c() => {
            output::note(format_args!(
                "the job goes on at the server; `countersign bulk show {id}` says how far it is, \
                 `countersign bulk cancel {id}` stops it"
            ));
            return Err(CliError::Reported);
        }
    };
    job::print(&result, as_json)?;
    let over: Job = envelope::read(&result)?;
    if over.state != "completed" {
        let why = over.failure.map(|why| format!(": {}", escape(&why))).unwrap_or_default();
        return Err(CliError::failure(format_args!("the job is {}{why}", escape(&over.state))));
    }
    match over.refused {
        0 => Ok(()),
        refused => {
            Err(CliError::failure(format_args!("{} could not be changed; all others were", certificates(refused))))
        }
    }
}

async fn poll(client: &Client, zone: ZoneId, id: JobId, context: &Context) -> Result<Value, CliError> {
    let bar = Bar::start();
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = client.call(Call::get(format!("{}/{id}", jobs(zone)))).await?;
        let job: Job = answer.read()?;
        if job.is_over() {
            return Ok(answer.result);
        }
        bar.show(job.visible(), job.total, escape(&job.state).into_owned());
        context.clock.sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
