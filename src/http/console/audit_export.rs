//! The audit log as a file: JSON Lines or CSV, handed over piece by piece, and bounded. A file that ends before the log does
//! says so in its last line.

use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::{HttpRequest, HttpResponse, get, web};
use bytes::Bytes;
use chrono::SecondsFormat;
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::domain::audit::AuditFilter;
use crate::http::admission::HeldAnswer;
use crate::http::paced::Steady;
use crate::service::access::ReadAuditLog;
use crate::service::audit_log::{AuditReader, AuditReading, MOST_ACTS};
use crate::service::{Service, ServiceError};
use crate::store::{AuditPosition, LoggedAct};

use super::audit::Asked;
use super::fault::Fault;
use super::page::guarded;
use super::visitor::{AccountPage, ZonePage};

/// How many events one file holds at most.
const MOST: i64 = 100_000;
/// How many readings one file takes at most: what is rare may take many to find.
const MOST_READINGS: u32 = 2_000;

const COLUMNS: [&str; 9] = ["at", "zone_id", "actor", "token_id", "source", "action", "subject", "result", "detail"];

#[get("/audit/export/{form}")]
pub async fn of_account(here: AccountPage<ReadAuditLog>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    answer(&here.visitor.request, AuditReader::from(&here.permit), service).await
}

#[get("/zones/{zone_id}/audit/export/{form}")]
pub async fn of_zone(here: ZonePage<ReadAuditLog>, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    answer(&here.visitor.request, AuditReader::from(&here.permit), service).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Csv,
    JsonLines,
}

/// How far a file is written.
struct Export {
    service: web::Data<Service>,
    reader: AuditReader,
    filter: AuditFilter,
    form: Form,
    before: Option<AuditPosition>,
    written: i64,
    readings: u32,
    is_over: bool,
    /// What of it was handed over last, and is not taken yet.
    held: Option<HeldAnswer>,
}

async fn answer(
    request: &HttpRequest,
    reader: AuditReader,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let (form, content_type, file) = match request.match_info().query("form") {
        "csv" => (Form::Csv, "text/csv; charset=utf-8", "audit.csv"),
        "jsonl" => (Form::JsonLines, "application/jsonl; charset=utf-8", "audit.jsonl"),
        _ => return Err(Fault::no_page()),
    };
    let filter = Asked::of(request).filter();
    let (before, held) = (None, None);
    let mut export = Export { service, reader, filter, form, before, written: 0, readings: 0, is_over: false, held };
    // Read before anything is promised: whoever gets no turn is told so, and not given a file that breaks off.
    let first = export.piece().await?;
    let pieces = stream::iter([Ok(first)]).chain(stream::unfold(export, Export::next));
    let parameters = vec![DispositionParam::Filename(file.into())];
    let mut response = HttpResponse::Ok();
    guarded(&mut response).content_type(content_type);
    response.insert_header(ContentDisposition { disposition: DispositionType::Attachment, parameters });
    let mut response = response.streaming(pieces);
    response.extensions_mut().insert(Steady);
    Ok(response)
}

impl Export {
    /// The next piece. One that cannot be read breaks the answer off, so that nobody takes it for whole.
    async fn next(mut self) -> Option<(Result<Bytes, actix_web::Error>, Self)> {
        if self.is_over {
            return None;
        }
        match self.piece().await {
            Ok(piece) => Some((Ok(piece), self)),
            Err(error) => {
                self.is_over = true;
                Some((Err(Fault::from(error).into()), self))
            }
        }
    }

    async fn piece(&mut self) -> Result<Bytes, ServiceError> {
        // Whoever asks for the next one has taken the one before.
        self.held = None;
        let mut piece = String::new();
        if self.readings == 0 && self.form == Form::Csv {
            line(&mut piece, &COLUMNS);
        }
        let length = MOST_ACTS.min(MOST - self.written);
        let reading = AuditReading { filter: self.filter.clone(), before: self.before.take(), length };
        let stretch = self.service.audit_log_in_turn(self.reader, reading).await?;
        self.readings += 1;
        for act in &stretch.acts {
            self.form.write(&mut piece, act);
            self.written += 1;
        }
        self.before = stretch.next;
        let is_full = self.written >= MOST || self.readings >= MOST_READINGS;
        self.is_over = self.before.is_none() || is_full;
        if let Some(position) = self.before.as_ref().filter(|_| is_full) {
            self.form.write_end(&mut piece, position);
        }
        // Details of acts can be long, and many may export at once and read nothing.
        let no_room = || ServiceError::Unavailable("too many long answers wait for their readers".into());
        self.held = Some(HeldAnswer::one_more(piece.len(), false).ok_or_else(no_room)?);
        Ok(Bytes::from(piece))
    }
}

impl Form {
    fn write(self, into: &mut String, act: &LoggedAct) {
        let at = act.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let result = if act.is_refused { "refused" } else { "done" };
        let (zone, token) = (act.zone.map(|zone| zone.to_string()), act.token.map(|token| token.to_string()));
        match self {
            Self::JsonLines => {
                let event = json!({
                    "at": at, "zone_id": zone, "actor": act.actor_name, "token_id": token, "source": act.source,
                    "action": act.action, "subject": act.subject, "result": result, "detail": act.detail,
                });
                into.push_str(&event.to_string());
                into.push('\n');
            }
            Self::Csv => {
                let (zone, token) = (zone.unwrap_or_default(), token.unwrap_or_default());
                let texts =
                    [&at, &zone, &act.actor_name, &token, &act.source, &act.action, &act.subject, result, &act.detail];
                line(into, &texts);
            }
        }
    }

    /// That there is more, and how to come by it.
    fn write_end(self, into: &mut String, position: &AuditPosition) {
        let until = position.time().to_rfc3339_opts(SecondsFormat::Millis, true);
        let note = format!("The log goes on: export again what happened until {until}.");
        match self {
            Self::JsonLines => {
                into.push_str(&json!({"note": note, "until": until}).to_string());
                into.push('\n');
            }
            Self::Csv => line(into, &["", "", "", "", "", "", "", "", &note]),
        }
    }
}

/// A line of CSV (RFC 4180).
fn line(into: &mut String, texts: &[&str]) {
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        cell(into, text);
    }
    into.push_str("\r\n");
}

/// Always in quotes. What a spreadsheet would take for a formula gets an apostrophe before it, and is text then: names, and
/// details of what was refused, are words of strangers.
fn cell(into: &mut String, text: &str) {
    const BEGINS_A_FORMULA: [char; 9] = ['=', '+', '-', '@', '|', '＝', '＋', '－', '＠'];
    let first = text.trim_start().chars().next();
    let begins_with_control = text.starts_with(['\t', '\r', '\n']);
    into.push('"');
    if begins_with_control || first.is_some_and(|first| BEGINS_A_FORMULA.contains(&first)) {
        into.push('\'');
    }
    into.push_str(&text.replace('"', "\"\""));
    into.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_its_line() {
        let written = |text: &str| {
            let mut into = String::new();
            cell(&mut into, text);
            into
        };
        for formula in ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", " =1", "\r=1", "\n=1", "|calc", "＝1"] {
            assert_eq!(written(formula), format!("\"'{formula}\""), "{formula:?}");
        }
        assert_eq!(written("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        for text in ["", "plain", "a, b", "pump-17", "127.0.0.1", "a=b"] {
            assert_eq!(written(text), format!("\"{text}\""));
        }
        let mut into = String::new();
        line(&mut into, &["a", "b\",\"c"]);
        assert_eq!(into, "\"a\",\"b\"\",\"\"c\"\r\n");
    }
}
