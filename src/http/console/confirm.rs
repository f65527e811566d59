//! Asking before something is taken away: what happens, what breaks, and a button that says it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use crate::domain::violation::Violation;

use super::fault::Fault;
use super::page::{Page, show, show_with};
use super::show;

/// Sent by POST to the page's own address.
pub struct Question {
    pub text: String,
    /// What breaks.
    pub consequence: String,
    pub button: String,
    /// The other way.
    pub keep: &'static str,
    pub back: String,
}

#[derive(Template)]
#[template(path = "confirm.html", config = "src/http/console/askama.toml")]
pub struct Confirmation {
    page: Page,
    question: Question,
    faults: Vec<Violation>,
}

impl Confirmation {
    /// The question, or why what was answered could not be done.
    pub fn answer(page: Page, question: Question, faults: Option<Vec<Violation>>) -> Result<HttpResponse, Fault> {
        let status = if faults.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let shown = Self { page, question, faults: faults.unwrap_or_default() };
        if status == StatusCode::OK { show(&shown) } else { show_with(status, &shown) }
    }
}
