//! The events of a zone: as a stream (server-sent events, HTML Living Standard, 9.2) that goes on where it was left, or in
//! pages for those who would rather ask.

use actix_web::http::header::{ACCEPT, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, get, web};
use futures_util::stream;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::domain::event_stream::{Kinds, NumberedEvent};
use crate::service::Service;
use crate::service::access::ReadCertificates;
use crate::service::event_streams::{EventStream, Listening, Tidings};

use crate::http::authentication::{InZone, credential};
use crate::http::envelope::{Fault, Note, Refusals};
use crate::http::error::ApiError;
use crate::http::parameters::Parameters;

/// How soon a client comes back after its stream broke off, in milliseconds.
const GREETING: &str = "retry: 1000\n\n";
const SILENCE: &str = ": nothing happened\n\n";
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;
const NUMBER: &str = "the number of an event, from 0";

/// A page of events.
#[derive(Serialize, ToSchema)]
pub struct EventPage {
    success: bool,
    errors: Vec<Fault>,
    messages: Vec<Note>,
    /// What each says beside `event`, `number`, `at` and `zone_id` depends on its kind.
    #[schema(value_type = Vec<Object>)]
    result: Vec<Value>,
    result_info: EventPageInfo,
}

/// Where to go on.
#[derive(Serialize, ToSchema)]
pub struct EventPageInfo {
    count: usize,
    /// What to send as `last_event_id` for the next page.
    last_event_id: i64,
    /// Whether there are more by now.
    more: bool,
}

/// What the request asks for.
struct Wish {
    listening: Listening,
    in_pages: bool,
    limit: i64,
}

/// Listen to what happens in a zone.
///
/// Each event has the kind as `event:`, its number as `id:` and JSON on one line as `data:`. After a break, the header
/// `Last-Event-ID` (or `last_event_id` in the query) with the last number heard goes on behind it, so that each event comes
/// once; without it, the stream begins now, and with 0 at the oldest that is kept (30 days). An event `gap` says that some
/// are not kept any more. With `Accept: application/json` or `format=json` the answer is one page instead. What belongs to
/// the account as a whole is told to tokens that may identities:read in it.
#[utoipa::path(
    tag = "Events",
    operation_id = "events-listen",
    params(
        ("zone_id" = String, Path, max_length = 32),
        ("last_event_id" = Option<i64>, Query, description = "begin behind this number; `since` is the same"),
        ("since" = Option<i64>, Query),
        ("kinds" = Option<String>, Query, description = "only these kinds, with commas between them"),
        ("format" = Option<String>, Query, description = "`json` for a page, `stream` for a stream"),
        ("limit" = Option<i64>, Query, description = "of a page: 1 to 1000, and 100 if left out"),
        ("Last-Event-ID" = Option<String>, Header, description = "goes before the query"),
    ),
    responses(
        (status = 200, description = "a stream, or a page", content(
            (String = "text/event-stream"),
            (EventPage = "application/json"),
        )),
        Refusals,
    ),
    security(("api_token" = []), ("api_email" = [], "api_key" = [])),
    extensions(("x-permission" = json!("client_certificates:read")))
)]
#[get("/client/v4/zones/{zone_id}/events")]
pub async fn listen(
    permit: InZone<ReadCertificates>,
    request: HttpRequest,
    service: web::Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let wish = wish(&request)?;
    if wish.in_pages {
        let page = service.events(&permit.0, wish.listening, wish.limit).await?;
        let result: Vec<_> = page.events.iter().map(NumberedEvent::to_json).collect();
        let result_info = EventPageInfo { count: result.len(), last_event_id: page.looked_until, more: !page.is_end };
        let (errors, messages) = (Vec::new(), Vec::new());
        return Ok(HttpResponse::Ok().json(EventPage { success: true, errors, messages, result, result_info }));
    }
    let credential = SecretString::from(credential(&request)?);
    let stream = service.into_inner().listen(permit.0, wish.listening, credential).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")))
        .streaming(as_text(stream)))
}

fn wish(request: &HttpRequest) -> Result<Wish, ApiError> {
    let mut parameters = Parameters::of(request);
    let number = |text: &str| text.trim().parse::<i64>().ok().filter(|number| *number >= 0);
    let since = parameters.parsed("since", NUMBER, number);
    let asked = parameters.parsed("last_event_id", NUMBER, number).or(since);
    let limit = parameters.parsed("limit", "a whole number from 1 to 1000", |text| {
        text.parse::<i64>().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
    });
    let format = parameters.parsed("format", "json or stream", |text| match text {
        "json" => Some(true),
        "stream" => Some(false),
        _ => None,
    });
    let words: Vec<&str> = parameters.text("kinds").unwrap_or_default().split(',').map(str::trim).collect();
    let kinds = Kinds::parse(words.into_iter().filter(|word| !word.is_empty()));
    parameters.finish()?;
    // A client that comes again sends the query it came with, and in the header what it has heard since.
    let after = match request.headers().get("last-event-id").filter(|header| !header.is_empty()) {
        None => asked,
        Some(header) => match header.to_str().ok().and_then(number) {
            Some(number) => Some(number),
            None => return Err(ApiError::bad_parameter(format!("the header Last-Event-ID must be {NUMBER}"))),
        },
    };
    Ok(Wish {
        listening: Listening { after, kinds: kinds.map_err(ApiError::bad_parameter)? },
        in_pages: format.unwrap_or_else(|| accepts_json_alone(request)),
        limit: limit.unwrap_or(DEFAULT_LIMIT),
    })
}

fn accepts_json_alone(request: &HttpRequest) -> bool {
    let accepted = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accepted.contains("application/json") && !accepted.contains("text/event-stream")
}

/// The stream as it goes over the wire, read on as its reader takes it.
fn as_text(stream: EventStream) -> impl futures_util::Stream<Item = Result<Bytes, actix_web::Error>> {
    let greeting = stream::once(async { Ok(Bytes::from_static(GREETING.as_bytes())) });
    let tidings = stream::unfold(stream, |mut stream| async move {
        let text = written(&stream.next().await?);
        Some((Ok(Bytes::from(text)), stream))
    });
    stream::StreamExt::chain(greeting, tidings)
}

fn written(tidings: &Tidings) -> String {
    match tidings {
        Tidings::Silence => SILENCE.to_owned(),
        Tidings::Gap { after, resumes_after } => {
            let gap = json!({
                "event": "gap",
                "last_event_id": after,
                "resumes_after": resumes_after,
                "message": "events between these numbers are not kept any more, or were never given",
            });
            message("gap", *resumes_after, &gap)
        }
        Tidings::Events(events) => {
            events.iter().map(|event| message(&event.kind, event.number, &event.to_json())).collect()
        }
    }
}

/// JSON of serde has no line breaks of its own, and escapes those of others.
fn message(kind: &str, number: i64, data: &Value) -> String {
    format!("id: {number}\nevent: {kind}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_three_lines_whatever_names_hold() {
        let data = json!({"common_name": "a\nb\r\nid: 9\u{2028}"});
        let text = message("certificate.issued", 7, &data);
        assert_eq!(text.lines().collect::<Vec<_>>().len(), 4);
        assert!(text.starts_with("id: 7\nevent: certificate.issued\ndata: {"));
        assert!(text.ends_with("}\n\n") && !text.contains('\r'));
    }

    #[test]
    fn a_gap_is_told_with_where_it_goes_on() {
        let text = written(&Tidings::Gap { after: 5, resumes_after: 99 });
        assert!(text.starts_with("id: 99\nevent: gap\ndata: {\"event\":\"gap\",\"last_event_id\":5,"), "{text}");
    }
}
