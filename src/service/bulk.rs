//! Bulk jobs, as callers see them: what a selection holds, making a job of it, watching and stopping it. The work itself is
//! in [`super::bulk_work`].

use crate::domain::audit::Action;
use crate::domain::bulk::{Filter, Job, JobState, MAX_IDS, Progress, Selector, Wish};
use crate::domain::certificate::Certificate;
use crate::domain::id::{CertificateId, JobId, ZoneId};
use crate::domain::permission::Permission;
use crate::store::{NewJob, Page, ShownJob, Window};

use super::access::{CancelJob, CreateJob, ReadJobs, ZonePermit};
use super::error::Noun;
use super::turns::Turn;
use super::{Service, ServiceError};

/// How many certificates, and how many unknown ids, an answer shows.
const SAMPLES: usize = 20;
/// How many unfinished jobs a zone may have; those that a compromised key makes are not held up by it.
const MAX_UNFINISHED: i64 = 100;

/// What is asked of which certificates.
#[derive(Clone, Debug)]
pub struct BulkInput {
    pub wish: Wish,
    pub selection: Selection,
}

#[derive(Clone, Debug)]
pub enum Selection {
    Ids(Vec<CertificateId>),
    Filter(Filter),
}

/// Named certificates that the zone does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    pub count: usize,
    /// The first of them.
    pub samples: Vec<CertificateId>,
}

/// What would become of a selection.
#[derive(Clone, Debug)]
pub struct Preview {
    pub expected: Progress,
    pub unknown: Unknown,
    /// The first of the certificates, for callers who may read them.
    pub samples: Vec<Certificate>,
}

struct Fixed {
    selector: Selector,
    unknown: Unknown,
    /// Ends with the survey.
    turn: Turn,
}

impl Service {
    /// Tells what a job would do, and does nothing.
    pub async fn preview_job(&self, permit: &ZonePermit<CreateJob>, input: BulkInput) -> Result<Preview, ServiceError> {
        let outcome = self.fix_selection(permit, &input).await;
        let Fixed { selector, unknown, turn } = self.recorded(permit, "", outcome).await?;
        let samples = i64::try_from(SAMPLES).unwrap_or_default();
        let survey = self.store.survey(permit.zone(), selector, samples, self.clock.now(), turn).await?;
        let mut expected = Progress::default();
        for tally in survey.tallies {
            let part = self.foresee_change(input.wish, tally.standing, &tally.profile, tally.count);
            expected.processed += part.processed;
            expected.changed += part.changed;
            expected.unchanged += part.unchanged;
            expected.refused += part.refused;
        }
        let grants = &permit.caller().token().grants;
        let may_read = grants.allow_in_zone(Permission::ReadCertificates, permit.account(), permit.zone());
        let samples = if may_read { survey.samples } else { Vec::new() };
        Ok(Preview { expected, unknown, samples })
    }

    /// Makes a job. Its selection is what there is now: certificates issued later are not touched.
    pub async fn create_job(
        &self,
        permit: &ZonePermit<CreateJob>,
        input: BulkInput,
    ) -> Result<(ShownJob, Unknown), ServiceError> {
        let outcome = self.create_job_or_refuse(permit, input).await;
        self.recorded(permit, "", outcome).await
    }

    /// Jobs of the zone, newest first.
    pub async fn jobs(&self, permit: &ZonePermit<ReadJobs>, window: Window) -> Result<Page<ShownJob>, ServiceError> {
        Ok(self.store.jobs(permit.zone(), window).await?)
    }

    pub async fn job(&self, permit: &ZonePermit<ReadJobs>, id: Option<JobId>) -> Result<ShownJob, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Job))?;
        self.store.job(permit.zone(), id).await?.ok_or(ServiceError::NotFound(Noun::Job))
    }

    /// Stops a job: what was not asked yet is not asked any more, what was asked stands. Repeating it is safe.
    pub async fn cancel_job(
        &self,
        permit: &ZonePermit<CancelJob>,
        id: Option<JobId>,
    ) -> Result<ShownJob, ServiceError> {
        let outcome = self.cancel_job_or_refuse(permit, id).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn create_job_or_refuse(
        &self,
        permit: &ZonePermit<CreateJob>,
        input: BulkInput,
    ) -> Result<(ShownJob, Unknown), ServiceError> {
        // Before anything is counted; what is made meanwhile is counted again when the job is stored.
        if self.store.unfinished_jobs(permit.zone()).await? >= MAX_UNFINISHED {
            return Err(too_many_unfinished());
        }
        let Fixed { selector, unknown, turn } = self.fix_selection(permit, &input).await?;
        let total = self.store.count_selected(permit.zone(), selector.clone(), turn).await?;
        let now = self.clock.now();
        let job = Job {
            id: JobId::new(self.random.ordered_id(now)),
            account: permit.account(),
            zone: permit.zone(),
            wish: input.wish,
            state: JobState::Queued,
            total,
            progress: Progress::default(),
            actor: permit.caller().actor(),
            failure: None,
            created_on: now,
            started_on: None,
            finished_on: None,
        };
        let (actor, zone) = (permit.caller().actor(), Some(permit.zone()));
        let mut event = self.event(actor, permit.account(), zone, Action::CreateJob, job.id.to_string());
        let selected = selector.filter().map(|filter| filter.to_json().to_string());
        let selected = selected.unwrap_or_else(|| "named one by one".into());
        event.detail = format!("{} {total} certificates: {selected}", input.wish.as_str());
        let shown = ShownJob { job: job.clone(), filter: selector.filter(), waiting: 0 };
        if !self.store.create_job(NewJob { job, selector, event }, MAX_UNFINISHED).await? {
            return Err(too_many_unfinished());
        }
        Ok((shown, unknown))
    }

    async fn cancel_job_or_refuse(
        &self,
        permit: &ZonePermit<CancelJob>,
        id: Option<JobId>,
    ) -> Result<ShownJob, ServiceError> {
        let missing = || ServiceError::NotFound(Noun::Job);
        let id = id.ok_or_else(missing)?;
        let (zone, now) = (permit.zone(), self.clock.now());
        if self.store.is_spreading_compromise(zone, id).await? {
            let message = "the job revokes whatever holds a key that was reported compromised, for the whole account; it \
                           ends by itself and cannot be cancelled";
            return Err(ServiceError::invalid("", message));
        }
        let event =
            self.event(permit.caller().actor(), permit.account(), Some(zone), Action::CancelJob, id.to_string());
        let is_cancelled = self.store.cancel_job(zone, id, now, event).await?;
        let shown = self.store.job(zone, id).await?.ok_or_else(missing)?;
        if is_cancelled || shown.job.state == JobState::Cancelled {
            return Ok(shown);
        }
        let message = format!("there is nothing left to cancel: the job is {}", shown.job.state.as_str());
        Err(ServiceError::invalid("", message))
    }

    /// Fixes what is selected now, or says what is wrong with the request. It comes with the turn to look through that.
    async fn fix_selection(&self, permit: &ZonePermit<CreateJob>, input: &BulkInput) -> Result<Fixed, ServiceError> {
        if let Wish::Revoke { invalidity_date, .. } = input.wish {
            self.check_invalidity_date(invalidity_date, "/invalidity_date")?;
        }
        self.check_authority(permit.zone(), &input.selection).await?;
        match &input.selection {
            Selection::Filter(filter) => {
                if let Some(fault) = filter.fault() {
                    return Err(ServiceError::invalid("/filter", fault));
                }
                let turn = self.surveys.take(permit.account()).await?;
                let selector = self.store.fix_selection(permit.zone(), filter.clone()).await?;
                Ok(Fixed { selector, unknown: Unknown::default(), turn })
            }
            Selection::Ids(ids) => {
                if !(1..=MAX_IDS).contains(&ids.len()) {
                    let message = format!("ids must name 1 to {MAX_IDS} certificates; a filter selects more at once");
                    return Err(ServiceError::invalid("/ids", message));
                }
                let turn = self.surveys.take(permit.account()).await?;
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids.dedup();
                let known = self.store.known_certificates(permit.zone(), ids.clone()).await?;
                let unknown: Vec<_> = ids.into_iter().filter(|id| known.binary_search(id).is_err()).collect();
                let unknown = Unknown { count: unknown.len(), samples: unknown.into_iter().take(SAMPLES).collect() };
                Ok(Fixed { selector: Selector::Ids(known), unknown, turn })
            }
        }
    }

    /// A mistyped id must not look like a selection that is empty.
    async fn check_authority(&self, zone: ZoneId, selection: &Selection) -> Result<(), ServiceError> {
        let Selection::Filter(Filter { authority: Some(id), .. }) = selection else { return Ok(()) };
        match self.store.authority(*id).await? {
            Some(authority) if authority.zone == Some(zone) => Ok(()),
            _ => Err(ServiceError::invalid("/filter/authority", "the zone has no such authority")),
        }
    }
}

fn too_many_unfinished() -> ServiceError {
    let message =
        format!("the zone has {MAX_UNFINISHED} unfinished bulk jobs already; wait until some are done, or cancel some");
    ServiceError::invalid("", message)
}
