//! The real binary, on a free port and a folder of its own, stopped when the test ends.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::database::TestDatabase;

pub const ADMIN: &str = "test-token-test-token-test-token-test-token";

pub struct Server {
    pub url: String,
    pub client: reqwest::Client,
    _folder: TempDir,
    // Dropped after the process has been ended.
    pub database: TestDatabase,
    process: Child,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::empty(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("serve")
            .current_dir(folder.path())
            .env("COUNTERSIGN_LISTEN", format!("127.0.0.1:{port}"))
            .env("COUNTERSIGN_BOOTSTRAP_TOKEN", ADMIN)
            .env("COUNTERSIGN_DATABASE_URL", database.url())
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        // Read to the end, so that the server never blocks on a full pipe.
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut server = Self { url: format!("http://127.0.0.1:{port}"), client, _folder: folder, database, process };
        server.wait_until_ready().await;
        server
    }

    async fn wait_until_ready(&mut self) {
        for _ in 0..600 {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the server ended with {status} before it was ready");
            }
            if let Ok(answer) = self.client.get(format!("{}/readyz", self.url)).send().await
                && answer.status() == StatusCode::OK
            {
                return;
            }
            countersign::clock::Clock::system().sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not become ready");
    }

    /// One call; the body is sent as JSON when there is one.
    pub async fn call(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A call that must succeed; its result.
    pub async fn result(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(ADMIN, method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{method} {path}: {answer}");
        answer["result"].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
