//! Listening to a stream of server-sent events (HTML Living Standard, 9.2), as far as the service speaks it: every message
//! has an id, a kind and one line of data.

use std::time::Duration;

use reqwest::header::ACCEPT;
use tokio::time::timeout;

use super::{Call, Client, ClientError, Envelope};

/// The stream itself has no end; what it must not be is silent.
const ENDLESS: Duration = Duration::from_secs(10 * 365 * 86_400);
/// The service says something every 15 seconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
/// Far more than any event is long.
const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;

pub struct EventStream {
    response: reqwest::Response,
    base: String,
    unread: Vec<u8>,
}

/// One message of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub id: Option<i64>,
    pub data: String,
}

impl Client {
    /// Begins to listen.
    pub async fn listen(&self, call: Call) -> Result<EventStream, ClientError> {
        let call = call.while_it_waits(ENDLESS);
        let request = self.request(&call)?.header(ACCEPT, "text/event-stream");
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(EventStream { response, base: self.base.clone(), unread: Vec::new() });
        }
        let body = response.bytes().await.map_err(|error| self.transport(&error))?;
        match serde_json::from_slice::<Envelope>(&body) {
            Ok(envelope) => Err(self.refused(status, envelope.errors)),
            Err(_) => Err(ClientError::Foreign { url: self.base.clone(), status: status.as_u16() }),
        }
    }
}

impl EventStream {
    /// The next message; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Result<Option<Message>, ClientError> {
        loop {
            if let Some(message) = take_message(&mut self.unread) {
                return Ok(Some(message));
            }
            let broken = |cause: &str| ClientError::Interrupted {
                url: self.base.clone(),
                cause: cause.to_owned(),
                timed_out: false,
            };
            if self.unread.len() > LONGEST_MESSAGE {
                return Err(broken("a message has no end"));
            }
            match timeout(LONGEST_SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.unread.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(ClientError::transport(&self.base, &error)),
                Err(_) => return Err(broken("nothing was heard for 45 seconds")),
            }
        }
    }
}

/// The first whole message of what was read, if it says anything; comments and other blocks are passed over.
fn take_message(unread: &mut Vec<u8>) -> Option<Message> {
    while let Some(end) = unread.windows(2).position(|pair| pair == b"\n\n") {
        let block: Vec<u8> = unread.drain(..end + 2).collect();
        let mut message = Message::default();
        for line in String::from_utf8_lossy(&block).lines() {
            match line.split_once(": ") {
                Some(("id", number)) => message.id = number.parse().ok(),
                Some(("data", data)) => message.data = data.to_owned(),
                _ => {}
            }
        }
        if !message.data.is_empty() {
            return Some(message);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_in_whatever_pieces_they_come() {
        let text =
            "retry: 1000\n\n: nothing happened\n\nid: 7\nevent: x\ndata: {\"a\": \"b: c\"}\n\nid: 8\ndata: {}\n\nid: 9";
        let mut unread = Vec::new();
        let mut read = Vec::new();
        for byte in text.bytes() {
            unread.push(byte);
            read.extend(take_message(&mut unread));
        }
        let message = |id, data: &str| Message { id: Some(id), data: data.into() };
        assert_eq!(read, [message(7, "{\"a\": \"b: c\"}"), message(8, "{}")]);
        assert_eq!(unread, b"id: 9");
    }
}
