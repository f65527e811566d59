//! The menu: a table of sections, of which each visitor sees those that their token may use.

use crate::domain::id::ZoneId;
use crate::domain::permission::{Grants, Permission};
use crate::domain::zone::Zone;

/// A section of a zone: what follows `/zones/{id}` in its address, its name, and what it takes to use it.
struct Section {
    path: &'static str,
    label: &'static str,
    permission: Permission,
}

const OF_ZONE: [Section; 6] = [
    Section { path: "", label: "Overview", permission: Permission::ReadCertificates },
    Section { path: "/certificates", label: "Certificates", permission: Permission::ReadCertificates },
    Section { path: "/issue", label: "Issue", permission: Permission::IssueCertificates },
    Section { path: "/authority", label: "Authority", permission: Permission::ReadAuthorities },
    Section { path: "/webhooks", label: "Webhooks", permission: Permission::ReadZones },
    Section { path: "/audit", label: "Audit log", permission: Permission::ReadAudit },
];

/// The same for the account as a whole; the address is complete.
const OF_ACCOUNT: [Section; 5] = [
    Section { path: "/identities", label: "Identities", permission: Permission::ReadIdentities },
    Section { path: "/checks", label: "Checks", permission: Permission::ReadIdentities },
    Section { path: "/zones", label: "Zones", permission: Permission::ReadZones },
    Section { path: "/tokens", label: "Tokens", permission: Permission::WriteTokens },
    Section { path: "/audit", label: "Audit log", permission: Permission::ReadAudit },
];

/// More zones than this are found on the overview.
const MAX_ZONES: usize = 12;

pub struct Group {
    pub label: &'static str,
    pub entries: Vec<Entry>,
}

pub struct Entry {
    pub label: String,
    pub href: String,
    pub is_current: bool,
    /// Sections of the zone that one is in, below its name.
    pub is_inner: bool,
    /// The name that a person gave to something.
    pub is_name: bool,
}

/// The menu as it stands on the page at `path`, in the zone `here` if it belongs to one.
pub fn menu(grants: &Grants, zones: &[Zone], here: Option<&Zone>, path: &str) -> Vec<Group> {
    let mut top = vec![entry("Account", "/".into(), path == "/")];
    top.extend(
        OF_ACCOUNT
            .iter()
            .filter(|section| grants.allow_in_account(section.permission, grants.account))
            .map(|section| entry(section.label, section.path.into(), here.is_none() && is_within(path, section.path))),
    );
    let shown = zones.iter().take(MAX_ZONES).chain(here.filter(|here| !first_ones(zones, here.id)));
    let zones = shown.flat_map(|zone| {
        let is_here = here.is_some_and(|here| here.id == zone.id);
        let address = format!("/zones/{}", zone.id);
        let name = Entry { is_name: true, ..entry(&zone.name, address.clone(), is_here && path == address) };
        let inner = OF_ZONE.iter().filter(move |section| is_here && allows(grants, zone, section));
        let inner = inner.map(move |section| {
            let href = format!("{address}{}", section.path);
            let is_current = if section.path.is_empty() { path == href } else { is_within(path, &href) };
            Entry { is_inner: true, ..entry(section.label, href, is_current) }
        });
        std::iter::once(Entry { is_current: false, ..name }).chain(inner)
    });
    let mut groups = vec![Group { label: "", entries: top }];
    let zones: Vec<Entry> = zones.collect();
    if !zones.is_empty() {
        groups.push(Group { label: "Zones", entries: zones });
    }
    groups.push(Group {
        label: "You",
        entries: vec![entry("Sessions", "/sessions".into(), is_within(path, "/sessions"))],
    });
    groups
}

fn first_ones(zones: &[Zone], id: ZoneId) -> bool {
    zones.iter().take(MAX_ZONES).any(|zone| zone.id == id)
}

fn allows(grants: &Grants, zone: &Zone, section: &Section) -> bool {
    grants.allow_in_zone(section.permission, zone.account.id, zone.id)
}

fn is_within(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn entry(label: &str, href: String, is_current: bool) -> Entry {
    Entry { label: label.to_owned(), href, is_current, is_inner: false, is_name: false }
}
