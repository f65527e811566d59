//! Signing a CSR that was made elsewhere.

use std::path::Path;

use super::{Arguments, request};
use crate::cli::error::CliError;
use crate::cli::escape::escape;
use crate::cli::files::{self, Access};
use crate::cli::{Context, output};

pub async fn run(csr: &Path, arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let text = files::read_text(csr)?;
    if let Some(out) = &arguments.out {
        refuse_overwriting(out, arguments.local.force)?;
    }
    let client = arguments.connection.open(context)?;
    let zone = arguments.zone.resolve(&client, context).await?;
    let issued = request::open(request::send(&client, zone, &text, &arguments.sans, &arguments).await?)?;
    let certificate = &issued.certificate;
    if let Some(out) = &arguments.out {
        files::replace(out, certificate.certificate.as_bytes(), Access::Public)?;
    }
    match (&arguments.out, arguments.connection.json) {
        (_, true) => output::json(&issued.value)?,
        (Some(out), false) => output::note(format_args!("wrote {}", out.display())),
        (None, false) => output::bytes(certificate.certificate.as_bytes())?,
    }
    let (id, name) = (escape(&certificate.id), escape(certificate.label()));
    output::note(format_args!("certificate {id} for {name:?}, valid until {}", escape(&certificate.expires_on)));
    Ok(())
}

/// Before anything is issued, so that no certificate comes out that has no place to go.
fn refuse_overwriting(out: &Path, force: bool) -> Result<(), CliError> {
    if out.exists() && !force {
        return Err(CliError::failure(format_args!("{} is there already; add --force to overwrite it", out.display())));
    }
    Ok(())
}
