//! The envelope of every answer (wire contract, 1.6).

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::error::ApiError;

/// A success with its result.
#[derive(Serialize, ToSchema)]
pub struct Success<T> {
    /// Always `true`.
    success: bool,
    /// Always empty.
    errors: Vec<Fault>,
    /// What the caller should know besides.
    messages: Vec<Note>,
    result: T,
}

/// A success with one page of a list.
#[derive(Serialize, ToSchema)]
pub struct SuccessPage<T> {
    success: bool,
    errors: Vec<Fault>,
    messages: Vec<Note>,
    result: Vec<T>,
    result_info: ResultInfo,
}

/// Where in a list a page stands.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct ResultInfo {
    /// From 1.
    #[schema(minimum = 1)]
    pub page: i64,
    /// The effective page size.
    pub per_page: i64,
    /// How many items this page holds.
    pub count: i64,
    /// How many there are under the filter.
    pub total_count: i64,
    pub total_pages: i64,
}

/// Any failure; never with a 2xx.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    /// Always `false`.
    pub success: bool,
    /// At least one.
    pub errors: Vec<Fault>,
    pub messages: Vec<Note>,
    /// Always `null`.
    #[schema(value_type = Option<Object>)]
    pub result: (),
}

/// How every operation can fail, for the OpenAPI document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive alone")]
pub enum Refusals {
    /// Refused: one error for each fault, with source.pointer where it is about a field.
    #[response(status = "4XX")]
    Refused(Failure),
    /// Not now, or a fault of ours: Retry-After says when to try again.
    #[response(status = "5XX")]
    Failed(Failure),
}

/// One fault.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Fault {
    /// Codes: 1000 invalid token; 1001 token needed as Bearer; 1100 try again later; 1101 fault of ours; 1400 bad
    /// request; 1406 signer failed; 1415 no such certificate; 1416 no such thing; 1420 possession of a key not shown;
    /// 1471 this identity is there already; 1472 no such identity; 1473 others rely on it; 6003 malformed credentials
    /// (6103 X-Auth-Key, 6111 Authorization); 7000, 7003 no such route; 7001 wrong method; 9106 no credentials; 10000
    /// not allowed; 10001 unusable credentials.
    #[schema(minimum = 1000, maximum = 65535)]
    pub code: u16,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<FaultSource>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub error_chain: Vec<ChainedFault>,
}

/// Where in the request body the fault is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FaultSource {
    /// JSON pointer (RFC 6901).
    pub pointer: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChainedFault {
    pub code: u16,
    pub message: String,
}

/// A message beside a success.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Note {
    pub code: u16,
    pub message: String,
}

impl Note {
    /// Something that was asked for and left out, or that is odd but usable.
    pub fn about_request(message: String) -> Self {
        Self { code: 1400, message }
    }
}

pub fn success<T: Serialize>(result: T) -> HttpResponse {
    success_with(result, Vec::new())
}

pub fn success_with<T: Serialize>(result: T, messages: Vec<Note>) -> HttpResponse {
    json(&Success { success: true, errors: Vec::new(), messages, result }, OF_ONE)
}

pub fn page<T: Serialize>(result: Vec<T>, result_info: ResultInfo) -> HttpResponse {
    let room = OF_ONE + room_for(&result);
    json(&SuccessPage { success: true, errors: Vec::new(), messages: Vec::new(), result, result_info }, room)
}

/// In octets: a certificate with its request, in most cases.
const OF_ONE: usize = 4 * 1024;
/// A thousand of them. Whoever puts something huge in the first place of a list is not given room for a thousand such.
const MOST_ROOM: usize = 4 * 1024 * 1024;
/// What is left over is kept until the client has the answer, which counts by its length; more is given back.
const MOST_LEFT: usize = 64 * 1024;

/// Items of a list are of about the same length.
fn room_for<T: Serialize>(items: &[T]) -> usize {
    let first = items.first().and_then(|first| serde_json::to_vec(first).ok()).map_or(0, |first| first.len());
    items.len().saturating_mul(first + first / 8).min(MOST_ROOM)
}

fn json(value: &impl Serialize, room: usize) -> HttpResponse {
    match written(value, room) {
        Ok(body) => HttpResponse::Ok().content_type(ContentType::json()).body(body),
        Err(_) => ApiError::internal().error_response(),
    }
}

/// Written where there is room for it: what grows is copied each time it has doubled, and a page of thousands is felt.
fn written(value: &impl Serialize, room: usize) -> serde_json::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(room);
    serde_json::to_writer(&mut body, value)?;
    if body.capacity() - body.len() > MOST_LEFT {
        body.shrink_to_fit();
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_first_item_takes_no_room_for_a_thousand() {
        let mut items = vec![String::new(); 1000];
        if let Some(first) = items.first_mut() {
            *first = "x".repeat(1 << 20);
        }
        let room = room_for(&items);
        assert!(room <= MOST_ROOM, "{room}");
        let body = written(&items, room).unwrap();
        assert!(body.len() > 1 << 20 && body.capacity() - body.len() <= MOST_LEFT, "{}", body.capacity());
    }

    #[test]
    fn a_page_of_like_items_is_written_where_it_stays() {
        let items = vec!["x".repeat(2500); 1000];
        let room = OF_ONE + room_for(&items);
        assert!(serde_json::to_vec(&items).unwrap().len() <= room && room <= OF_ONE + MOST_ROOM);
    }
}
