//! The OpenAPI document, made from the handlers, and the page to try it.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::http::header::ContentEncoding;
use actix_web::{App, HttpResponse, guard, web};
use bytes::Bytes;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, Contact, InfoBuilder, License, OpenApi, OpenApiBuilder};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::Config;

use super::bare::BareFailure;
use super::envelope::Failure;
use super::error::ApiError;
use super::paced::shared;
use super::routes;

const DESCRIPTION: &str = "A self-hosted certificate authority for client certificates, with the API that Cloudflare \
published for its zones' client certificates. Every answer under /client/v4 is an envelope: success, errors, messages, \
result. Lists have result_info; a page past the end is an empty list. On 503, Retry-After says when to try again. \
The extension x-permission names what a token needs.";

/// The document as pretty JSON.
pub fn document() -> String {
    collect().to_pretty_json().unwrap_or_default()
}

/// Registers `/openapi.json` and `/docs/`, which loads nothing from any other host.
pub fn configure(config: &mut web::ServiceConfig) {
    let document = Bytes::from(document());
    let viewer = Config::new(["/openapi.json"]).validator_url("none").persist_authorization(false);
    config
        .app_data(web::Data::new(viewer))
        .route(
            "/openapi.json",
            web::get().to(move || {
                let document = shared(document.clone());
                async move { HttpResponse::Ok().content_type("application/json").body(document) }
            }),
        )
        .route("/docs", web::get().to(|| async { web::Redirect::to("/docs/").permanent() }))
        .service(web::resource("/docs/{file:.*}").guard(guard::Get()).to(viewer_file));
}

/// A file of the viewer. Not by the viewer's own service, which copies it for each answer.
async fn viewer_file(path: web::Path<String>, viewer: web::Data<Config<'static>>) -> Result<HttpResponse, ApiError> {
    let found = utoipa_swagger_ui::serve(&path, Arc::clone(&viewer)).ok().flatten();
    let file = found.ok_or_else(|| ApiError::no_route(""))?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header(ContentEncoding::Gzip);
    }
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(response.content_type(file.content_type).body(shared(bytes)))
}

pub(super) fn collect() -> OpenApi {
    let (_, collected) = App::new().into_utoipa_app().openapi(frame()).configure(routes::register).split_for_parts();
    collected
}

fn frame() -> OpenApi {
    let license: License =
        utoipa::openapi::LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Countersign")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .contact(None::<Contact>)
        .license(Some(license))
        .build();
    // Every refusal refers to them, which by itself does not put them into the document.
    let components = ComponentsBuilder::new().schema_from::<Failure>().schema_from::<BareFailure>();
    let mut components = components.build();
    let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
    components.add_security_scheme("api_token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme("api_email", header("X-Auth-Email"));
    components.add_security_scheme("api_key", header("X-Auth-Key"));
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}
