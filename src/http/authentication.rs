//! Who is calling: reading credentials from headers, and turning them into permits (wire contract, 1.10).

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderName};
use actix_web::{FromRequest, HttpRequest, web};

use crate::domain::id::{AccountId, ZoneId};
use crate::domain::token::has_token_form;
use crate::service::Service;
use crate::service::access::{AccountPermit, Act, Caller, ZonePermit};

use super::error::ApiError;

/// Whether a proxy in front tells the caller's address.
#[derive(Clone, Copy)]
pub struct BehindProxy(pub bool);

/// A caller with a valid token, whatever it may do.
pub struct Authenticated(pub Caller);

/// A caller who may do `A` in the zone that the path names.
pub struct InZone<A: Act>(pub ZonePermit<A>);

/// A caller who may do `A` in the account that the path names.
pub struct InAccount<A: Act>(pub AccountPermit<A>);

type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

impl FromRequest for Authenticated {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Ok(Self(authenticate(&request).await?)) })
    }
}

impl<A: Act + 'static> FromRequest for InZone<A> {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            let zone = ZoneId::parse(request.match_info().query("zone_id"));
            let zone = zone.ok_or_else(|| ApiError::no_route(request.path()))?;
            Ok(Self(service(&request)?.permit_in_zone(caller, zone).await?))
        })
    }
}

impl<A: Act + 'static> FromRequest for InAccount<A> {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            let account = AccountId::parse(request.match_info().query("account_id"));
            let account = account.ok_or_else(|| ApiError::no_route(request.path()))?;
            Ok(Self(service(&request)?.permit_in_account(caller, account).await?))
        })
    }
}

/// The caller behind the request's credentials.
pub async fn authenticate(request: &HttpRequest) -> Result<Caller, ApiError> {
    identify(request).await?.ok_or_else(ApiError::not_allowed)
}

/// The caller behind the request's credentials; `None` when they are nobody's.
pub async fn identify(request: &HttpRequest) -> Result<Option<Caller>, ApiError> {
    let value = credential(request)?;
    Ok(service(request)?.authenticate(value, source(request)).await?)
}

/// The token's value, from whichever header carries it.
pub fn credential(request: &HttpRequest) -> Result<&str, ApiError> {
    if request.headers().contains_key(AUTHORIZATION) {
        return bearer(request)?.ok_or_else(ApiError::no_credentials);
    }
    let key = HeaderName::from_static("x-auth-key");
    let has_email = request.headers().contains_key("x-auth-email");
    match request.headers().get(key) {
        Some(key) if has_email => {
            let key = key.to_str().ok().filter(|key| has_token_form(key));
            key.ok_or_else(|| ApiError::malformed_credentials("X-Auth-Key", 6103))
        }
        None if request.headers().contains_key("x-auth-user-service-key") => Err(ApiError::unusable_credentials()),
        _ => Err(ApiError::no_credentials()),
    }
}

/// The token of `Authorization: Bearer`, if the header is there.
pub fn bearer(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let Some(header) = request.headers().get(AUTHORIZATION) else { return Ok(None) };
    let malformed = || ApiError::malformed_credentials("Authorization", 6111);
    let (scheme, token) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || !has_token_form(token) {
        return Err(malformed());
    }
    Ok(Some(token))
}

pub fn service(request: &HttpRequest) -> Result<&web::Data<Service>, ApiError> {
    request.app_data::<web::Data<Service>>().ok_or_else(ApiError::internal)
}

/// The caller's address. Behind a proxy it is the last element of the last `X-Forwarded-For`: the one that our own proxy
/// added. Those before it, and the header `Forwarded`, are whatever the caller sent.
pub fn source(request: &HttpRequest) -> String {
    let behind_proxy = request.app_data::<BehindProxy>().is_some_and(|proxy| proxy.0);
    let forwarded = behind_proxy.then(|| request.headers().get_all("x-forwarded-for").last()).flatten();
    let forwarded =
        forwarded.and_then(|header| header.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    let peer = request.peer_addr().map(|address| address.ip());
    forwarded.or(peer).map(|address| address.to_string()).unwrap_or_default()
}
