//! A small HTTP/1.1 client, for the command line's requests to a server's public API.
//!
//! One connection at a time, kept between requests when the server allows it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base::Tasks;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::Error;
use crate::tls::ClientTls;

/// Bytes of an answer that is taken whole.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of one line of a streamed answer.
const LINE_BYTES_MAX: usize = 16 << 20;

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    tasks: Tasks,
    tls: Option<ClientTls>,
    host: String,
    port: u16,
    /// The value of `host`.
    authority: HeaderValue,
    /// What stands before every path, without a slash at the end.
    prefix: String,
    timeout: Duration,
    open: Option<SendRequest<Full<Bytes>>>,
}

/// An answer whose headers have come.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    timeout: Duration,
}

impl Client {
    /// A client of the server at `url` (`http://127.0.0.1:8080`, `https://host/prefix`). An
    /// answer's headers, and the rest of an answer that is taken whole, must each come within
    /// `timeout`. For `https`, `tls` says whom to trust.
    ///
    /// # Errors
    /// [`Error::Url`] when `url` is none, or is `https` without `tls`.
    pub fn new(
        url: &str,
        tls: Option<ClientTls>,
        tasks: Tasks,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let wrong = || Error::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (tls, port) = match (uri.scheme_str(), tls) {
            (Some("http"), _) => (None, 80),
            (Some("https"), Some(tls)) => (Some(tls), 443),
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self {
            tasks,
            tls,
            host,
            port: authority.port_u16().unwrap_or(port),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            timeout,
            open: None,
        })
    }

    /// Sends a request; `path` begins with `/` and may have a query. Returns when the headers of
    /// the answer have come, whatever its status.
    ///
    /// # Errors
    /// When the server cannot be reached, breaks the protocol, or is too slow.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let limit = self.timeout;
        let late = Error::Timeout {
            millis: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        };
        timeout(limit, self.send(method, path, headers, body))
            .await
            .unwrap_or(Err(late))
    }

    /// `GET`, the answer taken whole.
    ///
    /// # Errors
    /// As [`Client::request`] and [`Answer::bytes`].
    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), Error> {
        self.request(Method::GET, path, HeaderMap::new(), Bytes::new())
            .await?
            .whole()
            .await
    }

    /// `DELETE`, the answer taken whole.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&mut self, path: &str) -> Result<(StatusCode, Bytes), Error> {
        self.request(Method::DELETE, path, HeaderMap::new(), Bytes::new())
            .await?
            .whole()
            .await
    }

    /// `POST` of `value` as JSON, the answer taken whole.
    ///
    /// # Errors
    /// As [`Client::get`]; [`Error::Http`] when `value` cannot be written as JSON.
    pub async fn post_json(
        &mut self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<(StatusCode, Bytes), Error> {
        let body = serde_json::to_vec(value).map_err(|error| Error::Http(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.request(Method::POST, path, headers, body.into())
            .await?
            .whole()
            .await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let mut request = hyper::Request::new(Full::new(body));
        *request.method_mut() = method;
        let target = format!("{}{path}", self.prefix);
        *request.uri_mut() = target.parse().map_err(|_| Error::Url(target.clone()))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, self.authority.clone());
        let mut kept = None;
        if let Some(mut open) = self.open.take()
            && open.ready().await.is_ok()
        {
            kept = Some(open);
        }
        let mut sender = match kept {
            Some(open) => open,
            None => self.connect().await?,
        };
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| failed(&error))?;
        self.open = Some(sender);
        let (head, body) = answer.into_parts();
        let (status, headers) = (head.status, head.headers);
        Ok(Answer {
            status,
            headers,
            body,
            timeout: self.timeout,
        })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let address = format!("{}:{}", self.host, self.port);
        let connect = |source| Error::Connect {
            address: address.clone(),
            source,
        };
        let socket = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(connect)?;
        socket.set_nodelay(true).map_err(connect)?;
        match &self.tls {
            None => self.open_on(socket).await,
            Some(tls) => {
                let stream = tls.connect(&self.host, socket).await.map_err(connect)?;
                self.open_on(stream).await
            }
        }
    }

    async fn open_on(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, Error> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        self.tasks.spawn("net.http_client", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "client connection ended");
            }
        });
        Ok(sender)
    }
}

/// hyper's errors say little without their cause.
fn failed(error: &hyper::Error) -> Error {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Error::Http(format!("{error}{}", cause.unwrap_or_default()))
}

impl Answer {
    /// The body, whole.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over 64 MiB, [`Error::Timeout`], or what happened to the connection.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        Ok(self.whole().await?.1)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// As [`Answer::bytes`]; [`Error::Http`] when it is no such JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Http(error.to_string()))
    }

    async fn whole(mut self) -> Result<(StatusCode, Bytes), Error> {
        let collect = async {
            let mut whole = BytesMut::new();
            while let Some(frame) = self.body.frame().await {
                let frame = frame.map_err(|error| failed(&error))?;
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                if data.len() > ANSWER_BYTES_MAX - whole.len() {
                    return Err(Error::TooLarge {
                        max_bytes: ANSWER_BYTES_MAX,
                    });
                }
                whole.extend_from_slice(&data);
            }
            Ok((self.status, whole.freeze()))
        };
        let millis = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        timeout(self.timeout, collect)
            .await
            .unwrap_or(Err(Error::Timeout { millis }))
    }

    /// The body line by line, without the line ends, as it comes: JSON lines, server-sent events.
    /// There is no time limit. A line over 16 MiB ends it with [`Error::TooLarge`].
    #[must_use]
    pub fn lines(self) -> Lines {
        Lines {
            body: self.body,
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
        }
    }
}

/// See [`Answer::lines`].
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
    /// The buffer holds no line end before this.
    searched: usize,
    ended: bool,
}

impl Lines {
    fn take_line(&mut self) -> Option<Bytes> {
        let Some(at) = self.buffer[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n')
        else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at + 1);
        self.searched = 0;
        line.truncate(line.len() - 1);
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        Some(line.freeze())
    }
}

impl Stream for Lines {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.take_line() {
                return Poll::Ready(Some(Ok(line)));
            }
            if self.ended {
                let last = self.buffer.split().freeze();
                self.searched = 0;
                return Poll::Ready(if last.is_empty() {
                    None
                } else {
                    Some(Ok(last))
                });
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                self.ended = true;
                self.buffer.clear();
                self.searched = 0;
                return Poll::Ready(Some(Err(Error::TooLarge {
                    max_bytes: LINE_BYTES_MAX,
                })));
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => {
                    self.ended = true;
                    self.buffer.clear();
                    self.searched = 0;
                    return Poll::Ready(Some(Err(failed(&error))));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
