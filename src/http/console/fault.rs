//! What went wrong, as a page: in words, with the way out.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;

use crate::http::error::ApiError;
use crate::service::ServiceError;

use super::assets::{self, Assets};
use super::page::guarded;

/// Why a request gets no page of its own.
#[derive(Debug)]
pub enum Fault {
    /// Nobody is signed in, or no longer: to the sign-in, and from there back to `to`. `is_part` when a script asked.
    SignIn {
        to: String,
        is_part: bool,
    },
    Told {
        status: StatusCode,
        title: &'static str,
        text: String,
        way_out: WayOut,
    },
}

/// Where to go from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayOut {
    pub label: &'static str,
    pub href: String,
}

#[derive(Template)]
#[template(path = "fault.html", config = "src/http/console/askama.toml")]
struct FaultPage<'a> {
    assets: &'static Assets,
    title: &'a str,
    text: &'a str,
    way_out: &'a WayOut,
}

impl Fault {
    pub fn new(status: StatusCode, title: &'static str, text: impl Into<String>, way_out: WayOut) -> Self {
        Self::Told { status, title, text: text.into(), way_out }
    }

    pub fn no_page() -> Self {
        let text = "The address leads nowhere, or to something that your token may not see.";
        Self::new(StatusCode::NOT_FOUND, "There is no such page", text, WayOut::home())
    }

    /// A form that no page of this session holds, or that another site sent.
    pub fn forged_form() -> Self {
        let text = "Nothing was changed. It did not come from a page of your session: another site may have sent it, \
                    or the page was opened before you signed in again. Open the page anew and fill it in there.";
        Self::new(StatusCode::FORBIDDEN, "The form was refused", text, WayOut::home())
    }

    pub fn repeated_form(back: String) -> Self {
        let text = "It was taken the first time, and is not taken twice. Open the page anew to see how things stand.";
        let way_out = WayOut { label: "Open the page anew", href: back };
        Self::new(StatusCode::CONFLICT, "The form was sent already", text, way_out)
    }
}

impl WayOut {
    pub fn home() -> Self {
        Self { label: "Go to the first page", href: "/".into() }
    }
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Forbidden | ServiceError::Unproven => {
                let text = "Your token lacks the permission for this, or it does not reach this place. Whoever manages \
                            tokens here can make one that does.";
                Self::new(StatusCode::FORBIDDEN, "Your token may not do this", text, WayOut::home())
            }
            ServiceError::NotFound(noun) => {
                let text = format!("There is no such {noun} here. It may be in another zone, or was removed.");
                Self::new(StatusCode::NOT_FOUND, "Not found", text, WayOut::home())
            }
            ServiceError::Unavailable(_) => {
                let text = "Too much is waiting, or the database is away. Nothing is lost: try again in a moment.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not just now", text, WayOut::home())
            }
            ServiceError::Invalid(violations) => {
                let said: Vec<_> = violations.iter().map(|violation| violation.message.as_str()).collect();
                Self::new(StatusCode::BAD_REQUEST, "This cannot be done", said.join("; "), WayOut::home())
            }
            ServiceError::Duplicate(said) | ServiceError::InUse(said) => {
                Self::new(StatusCode::CONFLICT, "This cannot be done", said, WayOut::home())
            }
            ServiceError::Signing(detail) | ServiceError::Internal(detail) => {
                tracing::error!(%detail, "answering 500");
                internal()
            }
        }
    }
}

/// What was found wrong before the console saw the request: its body, above all.
impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        let text = error.messages();
        Self::new(error.status_code(), "The request cannot be read", text, WayOut::home())
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page could not be written");
        internal()
    }
}

fn internal() -> Fault {
    let text = "A fault of ours. The server's log says more, at this time.";
    Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", text, WayOut::home())
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignIn { .. } => formatter.write_str("nobody is signed in"),
            Self::Told { status, text, .. } => write!(formatter, "{status}: {text}"),
        }
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignIn { is_part: true, .. } => StatusCode::UNAUTHORIZED,
            Self::SignIn { .. } => StatusCode::SEE_OTHER,
            Self::Told { status, .. } => *status,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::SignIn { to, is_part } => {
                let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("to", to).finish();
                let address = format!("/sign-in?{query}");
                if *is_part {
                    // htmx goes there with the whole page.
                    return guarded(&mut response).insert_header(("hx-redirect", address)).finish();
                }
                guarded(&mut response).insert_header((LOCATION, address)).finish()
            }
            Self::Told { status, title, text, way_out } => {
                if *status == StatusCode::SERVICE_UNAVAILABLE {
                    response.insert_header((RETRY_AFTER, "1"));
                }
                let page = FaultPage { assets: assets::all(), title, text, way_out }.render();
                guarded(&mut response).content_type("text/html; charset=utf-8").body(page.unwrap_or_default())
            }
        }
    }
}

/// Whether a request that leads nowhere came from a person: they get a page, programs their envelope.
pub fn wants_page(request: &HttpRequest) -> bool {
    const OF_PROGRAMS: [&str; 5] = ["/client/", "/v1/", "/pki/", "/healthz", "/metrics"];
    let accept = request.headers().get("accept").and_then(|header| header.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && !OF_PROGRAMS.iter().any(|prefix| request.path().starts_with(prefix))
}
