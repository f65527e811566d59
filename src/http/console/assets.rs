//! Styles and scripts, in the binary. Each is served under a name that holds the hash of its content, so a browser keeps it
//! for good and still has the right one after an upgrade.

use std::io::Write;
use std::sync::LazyLock;

use actix_web::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, VARY};
use actix_web::{HttpRequest, HttpResponse, get};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http::error::ApiError;
use crate::x509::public_key::sha256;

/// Those that pages refer to, by what they are for.
pub struct Assets {
    pub style: Asset,
    pub script: Asset,
    pub htmx: Asset,
    pub icon: Asset,
    pub issue_script: Asset,
    pub upload_script: Asset,
}

pub struct Asset {
    /// Where it is served.
    pub url: String,
    content_type: &'static str,
    plain: &'static [u8],
    compressed: Vec<u8>,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("console.css", "text/css; charset=utf-8", include_bytes!("assets/console.css")),
    script: Asset::new("console.js", SCRIPT, include_bytes!("assets/console.js")),
    htmx: Asset::new("htmx.js", SCRIPT, include_bytes!("assets/htmx.min.js")),
    icon: Asset::new("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
    issue_script: Asset::new("issue.js", SCRIPT, include_bytes!("assets/issue.js")),
    upload_script: Asset::new("upload.js", SCRIPT, include_bytes!("assets/upload.js")),
});

const SCRIPT: &str = "text/javascript; charset=utf-8";
/// A year: what is longer is not heeded.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

pub fn all() -> &'static Assets {
    &ASSETS
}

#[get("/assets/{name}")]
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let Assets { style, script, htmx, icon, issue_script, upload_script } = all();
    let known = [style, script, htmx, icon, issue_script, upload_script];
    let asset = known.into_iter().find(|asset| asset.url == request.path());
    let asset = asset.ok_or_else(|| ApiError::no_route(request.path()))?;
    let mut response = HttpResponse::Ok();
    response.content_type(asset.content_type).insert_header((CACHE_CONTROL, FOR_GOOD));
    response.insert_header((VARY, "accept-encoding"));
    if takes_packed(&request) {
        return Ok(response.insert_header((CONTENT_ENCODING, "gzip")).body(asset.compressed.clone()));
    }
    Ok(response.body(asset.plain))
}

/// Whether the browser takes what [`packed`] makes.
pub fn takes_packed(request: &HttpRequest) -> bool {
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|header| header.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("gzip"))
}

/// In memory nothing can fail.
pub fn packed(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

impl Asset {
    fn new(name: &str, content_type: &'static str, plain: &'static [u8]) -> Self {
        let [first, second, third, fourth, ..] = sha256(plain);
        let hash = hex::encode([first, second, third, fourth]);
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        Self {
            url: format!("/assets/{stem}-{hash}.{extension}"),
            content_type,
            plain,
            compressed: packed(plain, Compression::best()),
        }
    }
}
