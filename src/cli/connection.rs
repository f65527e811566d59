//! The options that every command which talks to the service has, and what they default to.

use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;

use super::client::{Client, is_loopback};
use super::error::CliError;
use super::escape::shell_word;
use super::{Context, resolve};
use crate::config::{Flags, LocalServer, TOKEN_FILE};
use crate::domain::id::{AccountId, ZoneId};

const DEFAULT_ZONE: &str = "default";

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The server to talk to [env: COUNTERSIGN_URL] [default: the server of this machine, by its own configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// The API token [env: COUNTERSIGN_TOKEN] [default: from admin.token in the data folder]
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    pub token: Option<SecretString>,

    /// PEM file with the CA of the server's TLS certificate, instead of those that the system knows [env: COUNTERSIGN_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// The data folder of the server of this machine, where admin.token is [env: COUNTERSIGN_DATA_DIR] [default: data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<String>,

    /// The configuration file of the server of this machine [env: COUNTERSIGN_CONFIG]
    /// [default: countersign.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,

    /// Print JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Which zone a command works in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct ZoneChoice {
    /// The zone, by name or id [env: COUNTERSIGN_ZONE] [default: default]
    #[arg(long, value_name = "NAME|ID")]
    pub zone: Option<String>,
}

/// Which account a command works in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct AccountChoice {
    /// The account, by id or name [default: the token's own]
    #[arg(long, value_name = "NAME|ID")]
    pub account: Option<String>,
}

impl Connection {
    pub fn open(&self, context: &Context) -> Result<Client, CliError> {
        let mut flags = Flags::default();
        for (key, value) in [("data_dir", &self.data_dir), ("config", &self.config)] {
            if let Some(value) = value {
                flags.set(key, value.clone());
            }
        }
        self.open_beside(&flags, context)
    }

    /// Opens the connection by the configuration with these flags, which hold this one's.
    pub fn open_beside(&self, flags: &Flags, context: &Context) -> Result<Client, CliError> {
        let environment = &context.environment;
        let local = LocalServer::find(flags, environment, Path::new("."));
        let named_url = self.url(context);
        let url = named_url.clone().unwrap_or(local.url);
        let named_token = self.token.clone().or_else(|| environment.get("COUNTERSIGN_TOKEN").map(SecretString::from));
        // The administrator's token of this machine is nothing to send to another one by default.
        let is_ours = named_url.is_none() || is_loopback(&url);
        let (token, advice) = match named_token {
            Some(token) => (Some(token), String::new()),
            None if is_ours => token_file(&local.data_dir.join(TOKEN_FILE)),
            None => (None, "give the token of that server with --token or COUNTERSIGN_TOKEN".to_owned()),
        };
        let named_file = environment.get("COUNTERSIGN_CA_FILE").map(PathBuf::from);
        let ca_file = self.ca_file.clone().or(named_file);
        Ok(Client::new(&url, token, advice, ca_file, context.clock.clone())?)
    }

    /// The options that were given, for a command to paste: all but the token, which is nobody's to print.
    pub fn repeated(&self) -> String {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let given = [
            ("--url", self.url.clone()),
            ("--ca-file", self.ca_file.as_ref().map(path)),
            ("--data-dir", self.data_dir.clone()),
            ("--config", self.config.clone()),
        ];
        let given = given.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", shell_word(&value?))));
        given.collect()
    }

    /// The server that was named, as opposed to the one of this machine.
    pub fn url(&self, context: &Context) -> Option<String> {
        self.url.clone().or_else(|| context.environment.get("COUNTERSIGN_URL").map(str::to_owned))
    }
}

fn token_file(path: &Path) -> (Option<SecretString>, String) {
    match std::fs::read_to_string(path) {
        Ok(text) => (Some(SecretString::from(text.trim())), String::new()),
        Err(error) => {
            let advice = format!(
                "no token was given, and {} cannot be read ({error}); give one with --token or COUNTERSIGN_TOKEN, \
                 or name the data folder with COUNTERSIGN_DATA_DIR",
                path.display()
            );
            (None, advice)
        }
    }
}

impl ZoneChoice {
    /// The name or id as it was given, or the default zone's name.
    pub fn given(&self, context: &Context) -> String {
        let named = self.zone.as_deref().or_else(|| context.environment.get("COUNTERSIGN_ZONE"));
        named.unwrap_or(DEFAULT_ZONE).to_owned()
    }

    pub async fn resolve(&self, client: &Client, context: &Context) -> Result<ZoneId, CliError> {
        resolve::zone(client, &self.given(context)).await
    }
}

impl AccountChoice {
    pub async fn resolve(&self, client: &Client) -> Result<AccountId, CliError> {
        resolve::account(client, self.account.as_deref()).await
    }
}
