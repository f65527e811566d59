//! Sending a form again that found the database away, or too much waiting: the same form, with all that was typed, by
//! loading the page anew.
//!
//! Nothing of the form comes back on the page, since keys and passphrases come in forms; the browser still has it. What it
//! lacks, where the form was taken already, is the right to send it once more: that is a voucher, in a cookie of its own.

use actix_web::body::BoxBody;
use actix_web::cookie::{Cookie, SameSite, time::Duration};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use askama::Template;

use crate::http::authentication::service;
use crate::service::sessions::SignedIn;

use super::assets::{self, Assets};
use super::is_secure;
use super::page::guarded;

/// So long somebody may wait before they send it again.
const GOOD_FOR: Duration = Duration::hours(1);
/// So much of a form's proof tells its cookie from those of other forms.
const TOLD_APART_BY: usize = 12;

/// A form whose act has begun, kept with its request.
pub struct TakenForm {
    pub signed_in: SignedIn,
    pub proof: String,
}

#[derive(Template)]
#[template(path = "again.html", config = "src/http/console/askama.toml")]
struct AgainPage {
    assets: &'static Assets,
}

/// The answer to a form that could not be done just now: how to send it again. All others stay as they are.
pub fn let_send_again(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let is_page = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let request = response.request();
    if response.status() != StatusCode::SERVICE_UNAVAILABLE || request.method() != Method::POST || !is_page {
        return response;
    }
    let Ok(text) = (AgainPage { assets: assets::all() }).render() else { return response };
    let mut answer = HttpResponse::ServiceUnavailable();
    guarded(&mut answer).insert_header((RETRY_AFTER, "1")).content_type("text/html; charset=utf-8");
    if let Some(cookie) = voucher(request) {
        answer.cookie(cookie);
    }
    let answer = answer.body(text);
    response.into_response(answer)
}

/// The voucher that came with a form.
pub fn voucher_of(request: &HttpRequest, proof: &str) -> Option<String> {
    request.cookie(&cookie_name(proof)).map(|cookie| cookie.value().to_owned())
}

fn voucher(request: &HttpRequest) -> Option<Cookie<'static>> {
    let extensions = request.extensions();
    // A form that was not taken is good as it is.
    let TakenForm { signed_in, proof } = extensions.get()?;
    let voucher = service(request).ok()?.form_voucher(signed_in, proof).ok()??;
    let cookie = Cookie::build(cookie_name(proof), voucher).path(request.path().to_owned()).max_age(GOOD_FOR);
    Some(cookie.http_only(true).same_site(SameSite::Strict).secure(is_secure(request)).finish())
}

fn cookie_name(proof: &str) -> String {
    let part: String = proof.chars().filter(char::is_ascii_alphanumeric).take(TOLD_APART_BY).collect();
    format!("countersign_again_{part}")
}
