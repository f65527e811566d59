//! Signing in with an API token, and signing out.

use actix_web::http::StatusCode;
use actix_web::http::header::USER_AGENT;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use askama::Template;

use crate::domain::token::has_token_form;
use crate::http::authentication::source;
use crate::service::Service;

use super::assets::Assets;
use super::fault::Fault;
use super::page::{self, Flash, go_to, show_with};
use super::visitor::{Form, Visitor, VisitorForm, own_address, session_cookie};

/// A token and an address: more is no sign-in.
const MAX_BODY: usize = 8 * 1024;

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/http/console/askama.toml")]
struct SignInPage<'a> {
    assets: &'static Assets,
    /// Where to go from here.
    to: &'a str,
    flash: Option<&'static str>,
    fault: Option<&'static str>,
    /// A link of another site led here, and browsers then keep a strict cookie back: asked once more by this page, they send it.
    is_from_elsewhere: bool,
}

#[get("/sign-in")]
pub async fn ask(request: HttpRequest, visitor: Option<Visitor>) -> Result<HttpResponse, Fault> {
    let query = url::form_urlencoded::parse(request.query_string().as_bytes());
    let to = query.into_owned().find(|(name, _)| name == "to").map_or_else(|| "/".into(), |(_, to)| own_address(&to));
    if visitor.is_some() {
        return Ok(go_to(&to, None));
    }
    let site = request.headers().get("sec-fetch-site").and_then(|header| header.to_str().ok());
    let is_from_elsewhere = matches!(site, Some("cross-site" | "same-site"));
    let flash = request.cookie(page::flash_cookie()).and_then(|cookie| Flash::told(cookie.value()));
    show_with(StatusCode::OK, &SignInPage { assets: page::assets(), to: &to, flash, fault: None, is_from_elsewhere })
}

#[post("/sign-in")]
pub async fn sign_in(
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<Service>,
) -> Result<HttpResponse, Fault> {
    let form = Form::of_stranger(&request, payload, MAX_BODY).await?;
    let to = own_address(form.text("to"));
    let token = form.text("token").trim();
    let agent = request.headers().get(USER_AGENT).and_then(|header| header.to_str().ok()).unwrap_or_default();
    let opened = match has_token_form(token) {
        true => service.sign_in(token, source(&request), agent).await?,
        false => None,
    };
    let Some(value) = opened else {
        let fault = if token.is_empty() {
            "Enter a token."
        } else if has_token_form(token) {
            "This token is unknown here, has expired, or is not valid yet."
        } else {
            "This is not a token: one has 40 to 80 letters, digits, dashes and underscores."
        };
        let page =
            SignInPage { assets: page::assets(), to: &to, flash: None, fault: Some(fault), is_from_elsewhere: false };
        return show_with(StatusCode::UNPROCESSABLE_ENTITY, &page);
    };
    let mut response = go_to(&to, None);
    set(&mut response, &request, Some(&value))?;
    Ok(response)
}

#[post("/sign-out")]
pub async fn sign_out(sent: VisitorForm, service: web::Data<Service>) -> Result<HttpResponse, Fault> {
    let Visitor { signed_in, request } = sent.visitor;
    service.end_session(&signed_in, signed_in.session.id).await?;
    let mut response = go_to("/sign-in", Some(Flash::SignedOut));
    set(&mut response, &request, None)?;
    Ok(response)
}

fn set(response: &mut HttpResponse, request: &HttpRequest, value: Option<&str>) -> Result<(), Fault> {
    let set = response.add_cookie(&session_cookie(request, value));
    set.map_err(|error| Fault::from(crate::service::ServiceError::Internal(error.to_string())))
}
