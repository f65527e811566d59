//! `cfssl serve` to compare with: Debian's golang-cfssl, with a CA of its own and without any database.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::http::{Connection, request};
use super::process::{Process, free_address};
use super::server::{PATIENCE, pause};
use super::{Outcome, fault};

const BETWEEN_TRIES: Duration = Duration::from_millis(20);

pub struct Cfssl {
    pub address: SocketAddr,
    process: Process,
}

impl Cfssl {
    /// Makes a P-256 CA in this folder and serves it; `None` where cfssl is not installed.
    pub async fn start(folder: &Path) -> Outcome<Option<Self>> {
        fs::create_dir_all(folder)?;
        let wanted = json!({ "CN": "benchmark", "key": { "algo": "ecdsa", "size": 256 } });
        fs::write(folder.join("wanted.json"), wanted.to_string())?;
        let mut make = Command::new("cfssl");
        let Ok(made) = make.args(["genkey", "-initca", "wanted.json"]).current_dir(folder).output() else {
            return Ok(None);
        };
        if !made.status.success() {
            return fault(format!("cfssl genkey: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let made: serde_json::Value = serde_json::from_slice(&made.stdout)?;
        for (name, file) in [("cert", "ca.pem"), ("key", "ca-key.pem")] {
            let text = made.get(name).and_then(serde_json::Value::as_str).ok_or("cfssl made no CA")?;
            fs::write(folder.join(file), text)?;
        }
        let profile = json!({ "expiry": "8760h", "usages": ["signing", "client auth"] });
        fs::write(folder.join("config.json"), json!({ "signing": { "default": profile } }).to_string())?;

        let address = free_address()?;
        let log = File::create(folder.join("log"))?;
        let mut serve = Command::new("cfssl");
        serve.args(["serve", "-address", "127.0.0.1", "-port", &address.port().to_string(), "-loglevel", "3"]);
        serve.args(["-ca", "ca.pem", "-ca-key", "ca-key.pem", "-config", "config.json"]).current_dir(folder);
        let process = Process::start(serve.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log), "KILL")?;
        let mut started = Self { address, process };
        started.wait_until_ready().await?;
        Ok(Some(started))
    }

    /// Asks for a certificate with this CSR.
    pub fn issuance_of(csr: &str) -> Vec<u8> {
        let body = json!({ "certificate_request": csr }).to_string();
        request("POST", "/api/v1/cfssl/sign", &[("content-type", "application/json")], body.as_bytes())
    }

    /// Whether an answer brings a certificate.
    pub fn is_issued(body: &[u8]) -> bool {
        body.starts_with(br#"{"success":true,"result":{"certificate":"-----BEGIN CERTIFICATE-----"#)
    }

    pub fn memory(&self) -> Outcome<u64> {
        self.process.memory()
    }

    pub fn processor_time(&self) -> Outcome<f64> {
        self.process.processor_time()
    }

    pub async fn stop(self) -> Outcome<()> {
        self.process.stop("TERM").await
    }

    async fn wait_until_ready(&mut self) -> Outcome<()> {
        let started = Instant::now();
        while Connection::open(self.address).await.is_err() {
            if let Some(status) = self.process.ended()? {
                return fault(format!("cfssl ended with {status}"));
            }
            if started.elapsed() > PATIENCE {
                return fault("cfssl did not become ready");
            }
            pause(BETWEEN_TRIES).await;
        }
        Ok(())
    }
}
