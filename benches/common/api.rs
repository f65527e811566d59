//! What the benchmarks ask of the API.

use std::time::{Duration, Instant};

use countersign::domain::name::AttributeType;
use countersign::keys::client_key::{ClientKey, ClientKeyKind};
use serde_json::{Value, json};

use super::http::{Answer, Connection, request};
use super::server::{Server, TOKEN, pause};
use super::{Outcome, fault};

/// A zone and its issuing authority, as they are written in addresses.
#[derive(Clone, Debug)]
pub struct Zone {
    pub id: String,
    pub authority: String,
}

impl Zone {
    /// The zone with this name; made, with so many shards, if it is not there.
    pub async fn of(connection: &mut Connection, name: &str, shards: Option<u32>) -> Outcome<Self> {
        let authority = shards.map_or(json!({}), |shards| json!({ "crl_shards": shards }));
        Self::with(connection, name, authority).await
    }

    /// The zone that the first start made.
    pub async fn default_of(connection: &mut Connection) -> Outcome<Self> {
        Self::of(connection, "default", None).await
    }

    /// The zone with this name; made, with such an authority, if it is not there.
    pub async fn with(connection: &mut Connection, name: &str, authority: Value) -> Outcome<Self> {
        let found = call(connection, "GET", &format!("/client/v4/zones?name={name}"), None).await?;
        let id = match found.pointer("/result/0/id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => {
                let made = json!({ "name": name, "authority": authority });
                text(&call(connection, "POST", "/client/v4/zones", Some(made)).await?, "/result/id")?
            }
        };
        let path = format!("/client/v4/zones/{id}/certificate_authorities");
        let authority = text(&call(connection, "GET", &path, None).await?, "/result/0/id")?;
        Ok(Self { id, authority })
    }

    pub fn certificates(&self) -> String {
        format!("/client/v4/zones/{}/client_certificates", self.id)
    }

    /// A request for a certificate, as it is sent again and again.
    pub fn issuance(&self) -> Outcome<Vec<u8>> {
        Ok(self.issuance_of(&csr("benchmark")?))
    }

    /// Asks for a certificate with this CSR.
    pub fn issuance_of(&self, csr: &str) -> Vec<u8> {
        authorised("POST", &self.certificates(), Some(&json!({ "csr": csr, "validity_days": 365 })))
    }

    /// Asks for a part of the list.
    pub fn list(&self, query: &str) -> Vec<u8> {
        authorised("GET", &format!("{}?{query}", self.certificates()), None)
    }

    /// Asks for a revocation, and waits for no more than the answer.
    pub async fn ask_to_revoke(&self, connection: &mut Connection, certificate: &str) -> Outcome<()> {
        let delete = authorised("DELETE", &format!("{}/{certificate}", self.certificates()), None);
        read(&connection.exchange(&delete).await?).map(drop)
    }

    /// Revokes a certificate and asks until that has been published: how long the answer took, and how long it took from
    /// the answer until the status was `revoked`, looking every `look`.
    pub async fn revoke(
        &self,
        connection: &mut Connection,
        certificate: &str,
        look: Duration,
    ) -> Outcome<(Duration, Duration)> {
        let show = authorised("GET", &format!("{}/{certificate}", self.certificates()), None);
        let asked = Instant::now();
        self.ask_to_revoke(connection, certificate).await?;
        let answered = Instant::now();
        loop {
            let certificate = read(&connection.exchange(&show).await?)?;
            if certificate.pointer("/result/status").and_then(Value::as_str) == Some("revoked") {
                return Ok((answered - asked, answered.elapsed()));
            }
            pause(look).await;
        }
    }
}

/// Many CSRs, each with a key and a name of its own.
pub fn csrs(count: usize) -> Outcome<Vec<String>> {
    (0..count).map(|number| csr(&format!("device-{number:07}"))).collect()
}

fn csr(name: &str) -> Outcome<String> {
    let key = ClientKey::generate(ClientKeyKind::P256)?;
    Ok(key.certification_request(&[(AttributeType::CommonName, name.to_owned())], &[])?)
}

/// Issues one certificate: its id and its PEM.
pub async fn issue(connection: &mut Connection, request: &[u8]) -> Outcome<(String, String)> {
    let issued = read(&connection.exchange(request).await?)?;
    Ok((text(&issued, "/result/id")?, text(&issued, "/result/certificate")?))
}

/// The whole text of `/metrics`.
pub async fn metrics(server: &Server) -> Outcome<String> {
    // A connection that waits for long is closed.
    let answer = server.connect().await?.exchange(&request("GET", "/metrics", &[], &[])).await?;
    Ok(String::from_utf8(answer.body)?)
}

/// The number that follows a metric's name and labels; zero before it is first recorded.
pub fn metric(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

async fn call(connection: &mut Connection, method: &str, path: &str, body: Option<Value>) -> Outcome<Value> {
    read(&connection.exchange(&authorised(method, path, body.as_ref())).await?)
}

fn authorised(method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
    let bearer = format!("Bearer {TOKEN}");
    let body = body.map(Value::to_string).unwrap_or_default();
    request(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.as_bytes())
}

fn read(answer: &Answer) -> Outcome<Value> {
    if answer.status != 200 {
        return fault(format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body)));
    }
    Ok(serde_json::from_slice(&answer.body)?)
}

fn text(value: &Value, pointer: &str) -> Outcome<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found.ok_or_else(|| format!("the answer has no {pointer}: {value}"))?.to_owned())
}
