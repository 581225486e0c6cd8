//! A client of SQS that costs next to nothing: requests over one kept connection, in the JSON
//! protocol; of an answer it reads what the load needs.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long an answer may take: longer than the longest poll.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a read asks for at a time.
const READ: usize = 256 << 10;
/// The most messages of one request.
pub(super) const BATCH: usize = 10;
/// Servers that look at credentials find some; none of them is asked to verify them.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/sqs/aws4_request, \
    SignedHeaders=host, Signature=0000000000000000000000000000000000000000000000000000000000000000";

/// One kept connection.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    socket: TcpStream,
    input: Vec<u8>,
    scratch: Box<[u8]>,
}

/// The value of each member called `name`, as it is written, between its quotes.
pub(super) fn texts<'a>(json: &'a str, name: &str) -> Vec<&'a str> {
    let key = format!("\"{name}\":\"");
    let mut rest = json;
    let mut found = Vec::new();
    while let Some((_, after)) = rest.split_once(&key) {
        let Some((value, after)) = after.split_once('"') else {
            break;
        };
        found.push(value);
        rest = after;
    }
    found
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            address,
            socket,
            input: Vec::new(),
            scratch: vec![0; READ].into(),
        })
    }

    /// One request; the body of the answer.
    pub(super) fn call(&mut self, action: &str, body: &str) -> Result<String> {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             X-Amz-Target: AmazonSQS.{action}\r\nX-Amz-Date: 20260101T000000Z\r\n\
             Authorization: {AUTHORIZATION}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        self.socket.write_all(request.as_bytes())?;
        let head = loop {
            if let Some(at) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let text =
            String::from_utf8_lossy(self.input.get(..head).unwrap_or_default()).to_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .with_context(|| format!("no length: {text}"))?;
        let end = head + length.trim().parse::<usize>()?;
        while self.input.len() < end {
            self.fill()?;
        }
        let answer = self.input.drain(..end).skip(head).collect::<Vec<u8>>();
        let answer = String::from_utf8(answer)?;
        ensure!(text.starts_with("http/1.1 200"), "{action}: {text}{answer}");
        Ok(answer)
    }

    fn fill(&mut self) -> Result<()> {
        let n = self.socket.read(&mut self.scratch)?;
        ensure!(n > 0, "the server closed the connection");
        self.input
            .extend_from_slice(self.scratch.get(..n).unwrap_or_default());
        Ok(())
    }

    /// A queue; its URL.
    pub(super) fn create(&mut self, name: &str, fifo: bool) -> Result<String> {
        let attributes = if fifo {
            r#","Attributes":{"FifoQueue":"true","ContentBasedDeduplication":"false"}"#
        } else {
            ""
        };
        let body = format!(r#"{{"QueueName":"{name}"{attributes}}}"#);
        let answer = self.call("CreateQueue", &body)?;
        let url = texts(&answer, "QueueUrl").first().copied();
        Ok(url.with_context(|| answer.clone())?.to_owned())
    }

    pub(super) fn delete_queue(&mut self, url: &str) -> Result<()> {
        self.call("DeleteQueue", &format!(r#"{{"QueueUrl":"{url}"}}"#))?;
        Ok(())
    }

    /// Receives up to a batch and deletes it; how many there were.
    pub(super) fn take(&mut self, url: &str) -> Result<usize> {
        let body =
            format!(r#"{{"QueueUrl":"{url}","MaxNumberOfMessages":{BATCH},"WaitTimeSeconds":1}}"#);
        let answer = self.call("ReceiveMessage", &body)?;
        let handles = texts(&answer, "ReceiptHandle");
        if handles.is_empty() {
            return Ok(0);
        }
        let mut body = format!(r#"{{"QueueUrl":"{url}","Entries":["#);
        for (at, handle) in handles.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(body, r#"{comma}{{"Id":"{at}","ReceiptHandle":"{handle}"}}"#);
        }
        body.push_str("]}");
        let deleted = self.call("DeleteMessageBatch", &body)?;
        let done = texts(&deleted, "Id").len();
        ensure!(
            done == handles.len() && !deleted.contains("SenderFault"),
            "not deleted: {deleted}"
        );
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_value_of_a_name() {
        let json = r#"{"A":[{"Id":"1","X":2},{"Id":"b"}],"Id2":"c"}"#;
        assert_eq!(texts(json, "Id"), ["1", "b"]);
        assert_eq!(texts(json, "None"), [""; 0]);
    }
}
