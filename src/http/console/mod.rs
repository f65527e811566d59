//! The console: pages for people, from the same services and by the same permits as the API.
//!
//! Everything is made here, on the server, and works without a script; scripts only make it comfortable. A page is
//! kept apart from other sites by its headers ([`page::guarded`]), its forms by what they carry ([`visitor`]). There is no
//! rule of the CA here, and nothing that a token may not do over the API: handlers take the permits that the API's take.
//!
//! # How a page is added
//!
//! 1. **A handler**, one file for each page, here: `sessions.rs`. It names who may see it by its first argument:
//!    [`visitor::ZonePage<ReadCertificates>`](visitor::ZonePage) (zone from the path), [`visitor::AccountPage`] (the token's
//!    account) or [`visitor::Visitor`]; asks a service; and hands a struct to [`page::show`]. A handler that changes
//!    something answers POST, takes [`visitor::ZoneForm`], [`visitor::AccountForm`] or [`visitor::VisitorForm`], and ends with
//!    [`page::go_to`] and a [`page::Flash`], so that a reload does nothing. A form that breaks rules is shown again, with what was
//!    typed and each fault beside its field, by [`page::show_with`] and 422.
//! 2. **A template** beside it, of the same name: `sessions.html`, which extends `layout.html` and fills the blocks
//!    `content` and, where there is something to do, `acts`. Its struct has a field `page: Page`. Each form holds
//!    `<input type="hidden" name="form" value="{{ page.proof }}">`. Texts of strangers are written with [`show::text`], times with
//!    [`show::time`]. No `style=`, no inline script: the browser refuses them. What is pending says
//!    `hx-get` (its own address), `hx-trigger="every 1s"`, `hx-select` and `hx-target`, as in `certificate.html`: the page is its own
//!    fragment. Where there are many at once, each asks for itself, as the rows of `certificates.html`.
//! 3. **A route** in [`configure`], and, where one should get there from everywhere, an entry in [`navigation`].
//! 4. **A test**: what the browser sees in `tests/clients/test_console.py` (add the address to its list of pages: each is
//!    judged by axe in both colour schemes and photographed at two widths), what a form refuses in `tests/promises/console.rs`.

mod again;
mod assets;
mod audit;
mod audit_export;
mod authority;
mod certificate;
mod certificates;
mod check;
mod check_form;
mod checks;
mod confirm;
mod ending;
mod fault;
mod field_faults;
mod identities;
mod identity;
mod identity_issue;
mod identity_removal;
mod identity_upload;
mod issue;
mod jobs;
mod navigation;
mod overview;
mod page;
mod plot;
mod reasons;
mod relying;
mod revocation;
mod rules;
mod sessions;
mod show;
mod sign_in;
mod tokens;
mod visitor;
mod webhooks;
mod zone;
mod zones;

use actix_web::{HttpRequest, web};

pub use again::let_send_again;
pub use fault::{Fault, wants_page};

/// How the console is reached.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleOptions {
    /// Over TLS, be it that of a proxy: cookies are for nothing else then.
    pub is_secure: bool,
}

/// Whether people come over TLS.
pub fn is_secure(request: &HttpRequest) -> bool {
    request.app_data::<ConsoleOptions>().is_some_and(|options| options.is_secure)
}

pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(overview::of_account)
        .service(ending::list)
        .service(zones::list)
        .service(zones::ask)
        .service(zones::create)
        .service(zones::ask_name)
        .service(zones::rename)
        .service(zone::overview)
        .service(certificates::list)
        .service(certificates::row)
        .service(jobs::choose)
        .service(certificate::show_one)
        .service(certificate::download)
        .service(certificate::reactivate)
        .service(revocation::ask)
        .service(revocation::revoke)
        .service(jobs::create)
        .service(jobs::show_one)
        .service(jobs::cancel)
        .service(issue::ask)
        .service(issue::ask_anew)
        .service(issue::check)
        .service(issue::create)
        .service(authority::show_all)
        .service(authority::download)
        .service(webhooks::list)
        .service(webhooks::ask)
        .service(webhooks::create)
        .service(webhooks::show_one)
        .service(webhooks::test)
        .service(webhooks::ask_edit)
        .service(webhooks::edit)
        .service(webhooks::ask_remove)
        .service(webhooks::remove)
        .service(tokens::list)
        .service(tokens::ask)
        .service(tokens::create)
        .service(tokens::show_one)
        .service(tokens::ask_roll)
        .service(tokens::roll)
        .service(tokens::ask_revoke)
        .service(tokens::revoke)
        .service(audit::of_account)
        .service(audit::of_zone)
        .service(audit_export::of_account)
        .service(audit_export::of_zone)
        .service(sign_in::ask)
        .service(sign_in::sign_in)
        .service(sign_in::sign_out)
        .service(sessions::list)
        .service(sessions::end)
        .service(identities::list)
        .service(identity_upload::ask)
        .service(identity_upload::ask_anew)
        .service(identity_upload::check)
        .service(identity_upload::create)
        .service(identity_issue::ask)
        .service(identity_issue::create)
        .service(identity_upload::ask_replacement)
        .service(identity_upload::ask_replacement_anew)
        .service(identity_upload::check_replacement)
        .service(identity_upload::replace)
        .service(identity::show_one)
        .service(identity::ask_edit)
        .service(identity::edit)
        .service(identity::make_primary)
        .service(identity::associate)
        .service(identity::dissociate)
        .service(identity_removal::ask)
        .service(identity_removal::remove)
        .service(checks::list)
        .service(check_form::ask)
        .service(check_form::create)
        .service(check::show_one)
        .service(check::run_now)
        .service(check::remove)
        .service(check_form::ask_edit)
        .service(check_form::edit)
        .service(assets::serve);
}
