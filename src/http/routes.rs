//! The route table: every handler is registered here and nowhere else, and the OpenAPI document is made from it.

use actix_web::dev::ResourceDef;
use actix_web::{HttpRequest, web};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::service_config::ServiceConfig;

use super::bare::BareError;
use super::error::ApiError;
use super::{api, console, crls, ocsp, operations, pki, possession};

pub fn configure(config: &mut web::ServiceConfig) {
    register(&mut ServiceConfig::new(config));
}

/// Fixed paths stand before those with a parameter in the same place. Otherwise what is asked most often comes first:
/// routes are tried one after the other.
pub fn register(config: &mut ServiceConfig<'_>) {
    config
        .service(ocsp::ask)
        .service(api::certificates::create)
        .service(api::certificates::list)
        .service(ocsp::ask_in_address)
        .service(api::bulk::create)
        .service(api::bulk::list)
        .service(api::bulk::show)
        .service(api::bulk::cancel)
        .service(api::certificates::show)
        .service(api::certificates::edit)
        .service(api::certificates::delete)
        .service(api::hostname_associations::list)
        .service(api::hostname_associations::replace)
        .service(api::authorities::bundle)
        .service(api::authorities::list)
        .service(api::authorities::create)
        .service(api::authorities::show)
        .service(api::events::listen)
        .service(api::webhooks::list)
        .service(api::webhooks::create)
        .service(api::webhooks::show)
        .service(api::webhooks::edit)
        .service(api::webhooks::delete)
        .service(api::webhooks::test)
        .service(api::webhooks::deliveries)
        .service(api::zones::list)
        .service(api::zones::create)
        .service(api::zones::show)
        .service(api::zones::edit)
        .service(api::accounts::list)
        .service(api::accounts::create)
        .service(api::accounts::show)
        .service(api::identity_calls::find)
        .service(api::identity_calls::call)
        .service(api::identity_uses::list)
        .service(api::identity_uses::put)
        .service(api::identity_uses::delete)
        .service(api::identities::list)
        .service(api::identities::create)
        .service(api::identities::show)
        .service(api::identities::edit)
        .service(api::identities::replace)
        .service(api::identities::delete)
        .service(api::checks::list)
        .service(api::checks::create)
        .service(api::checks::show)
        .service(api::checks::edit)
        .service(api::checks::delete)
        .service(api::checks::run)
        .service(api::checks::runs)
        .service(api::client_certificates_v1::list)
        .service(api::client_certificates_v1::create)
        .service(api::client_certificates_v1::show)
        .service(api::client_certificates_v1::delete)
        .service(api::tokens::verify_in_account)
        .service(api::tokens::verify)
        .service(api::tokens::list)
        .service(api::tokens::create)
        .service(api::tokens::show)
        .service(api::tokens::roll)
        .service(api::tokens::delete)
        .service(pki::certificate)
        .service(pki::certificate_pem)
        .service(pki::bundle_pem)
        .service(pki::bundle_pkcs7)
        .service(crls::complete)
        .service(crls::complete_pem)
        .service(crls::delta)
        .service(crls::shard)
        .service(crls::chain)
        .service(possession::challenge)
        .service(possession::revoke)
        .service(operations::health)
        .service(operations::readiness)
        .service(operations::metrics);
}

/// Every address that exists, with its methods: tells a wrong method from a wrong address.
pub struct KnownRoutes(Vec<(ResourceDef, Vec<String>)>);

impl KnownRoutes {
    /// Collects them from the OpenAPI document, which is made from the registrations above.
    pub fn of(document: &OpenApi) -> Self {
        let routes = document.paths.paths.iter().map(|(path, item)| {
            let operations = [
                ("GET", &item.get),
                ("HEAD", &item.head),
                ("POST", &item.post),
                ("PUT", &item.put),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ];
            let methods = operations.iter().filter(|(_, operation)| operation.is_some());
            (ResourceDef::new(path.as_str()), methods.map(|(method, _)| (*method).to_owned()).collect())
        });
        Self(routes.collect())
    }

    fn methods_of(&self, path: &str) -> Option<String> {
        let known = self.0.iter().find(|(definition, _)| definition.is_match(path));
        known.map(|(_, methods)| methods.join(", "))
    }
}

/// The answer to everything that no handler takes, in the dialect of its place.
pub async fn unknown(request: HttpRequest, routes: web::Data<KnownRoutes>) -> Result<&'static str, actix_web::Error> {
    if console::wants_page(&request) {
        return Err(console::Fault::no_page().into());
    }
    let error = match routes.methods_of(request.path()) {
        Some(allow) => ApiError::wrong_method(request.method().as_str(), allow),
        None => ApiError::no_route(request.path()),
    };
    if request.path().starts_with("/v1/") { Err(BareError::from(error).into()) } else { Err(error.into()) }
}
