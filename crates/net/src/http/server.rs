//! One HTTP connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use base::{Clock, Ledger};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::HttpConfig;
use super::io::{Activity, Watched};
use super::memory::{Charges, Gate, Ledgers, charged, gated, merge};
use super::request::Request;
use super::response::{Body, Response};
use super::routes::Routes;
use crate::config::Limits;
use crate::drive::alarm::Alarm;
use crate::head::{Close, Peer};
use crate::holders::{Holders, Holding};
use crate::listen::{Accepted, Parts};
use crate::metrics::HeadMetrics;

/// What all connections of one HTTP listener share.
#[derive(Debug)]
pub(crate) struct Served {
    routes: Routes,
    http: HttpConfig,
    limits: Limits,
    clock: Clock,
    ledgers: Ledgers,
    /// Who gives way when a ledger is full: the process's, and HTTP's two.
    holders: [Holders; 3],
    metrics: HeadMetrics,
}

impl Served {
    pub(crate) fn new(
        routes: Routes,
        http: HttpConfig,
        limits: Limits,
        parts: &Parts,
        holders: Holders,
        metrics: HeadMetrics,
    ) -> Self {
        let (clock, all) = (parts.clock.clone(), parts.ledger.clone());
        let ledgers = Ledgers::new(all, http.memory_max.as_usize());
        let over = |ledger: &Ledger| Holders::new(ledger.clone(), clock.clone());
        let holders = [holders, over(&ledgers.share), over(&ledgers.headers)];
        Self {
            routes,
            http,
            limits,
            clock,
            ledgers,
            holders,
            metrics,
        }
    }

    /// Who gives way when HTTP's own memory is full.
    pub(crate) fn own_holders(&self) -> impl Iterator<Item = &Holders> {
        self.holders.iter().skip(1)
    }
}

/// Serves one connection until its end.
pub(crate) async fn serve(served: Arc<Served>, accepted: Accepted) {
    let Accepted {
        peer,
        socket,
        opened,
        mut drain,
    } = accepted;
    let peer = Arc::new(peer);
    let activity = Arc::new(Activity::new(opened));
    let watched = Watched {
        socket,
        activity: Arc::clone(&activity),
        clock: served.clock.clone(),
        metrics: served.metrics.clone(),
        ledgers: served.ledgers.clone(),
        gate: Gate::default(),
        is_gated: false,
    };
    let service = {
        let (served, activity) = (Arc::clone(&served), Arc::clone(&activity));
        let peer = Arc::clone(&peer);
        service_fn(move |request| {
            let work = Work::begin(Arc::clone(&served), Arc::clone(&activity));
            handle(Arc::clone(&peer), request, work).boxed()
        })
    };
    // hyper's own header timeout also counts the pause between two requests: ours does not.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(served.http.headers_max)
        .max_header_size(served.http.header_bytes_max.as_usize())
        .max_buf_size(served.http.header_bytes_max.as_usize().max(8 << 10))
        .serve_connection(TokioIo::new(watched), service);
    let mut connection = pin!(connection);
    let mut watch = Watch::new(&served, &activity, &peer);
    let close = tokio::select! {
        biased;
        close = poll_fn(|cx| {
            let end = connection.as_mut().poll(cx);
            watch.poll(cx, end)
        }) => close,
        () = drain.requested() => {
            connection.as_mut().graceful_shutdown();
            let end = poll_fn(|cx| {
                let end = connection.as_mut().poll(cx);
                watch.poll(cx, end)
            });
            tokio::select! {
                biased;
                _ = end => Close::Drain,
                () = sleep(served.limits.drain_max.into()) => Close::Drain,
            }
        }
    };
    served.metrics.closed(close.label());
}

/// Ends a connection when its time is up, or when others need what it holds.
struct Watch<'a> {
    served: &'a Served,
    activity: &'a Activity,
    peer: &'a Peer,
    alarm: Alarm,
    holdings: [Holding; 3],
}

impl<'a> Watch<'a> {
    fn new(served: &'a Served, activity: &'a Activity, peer: &'a Peer) -> Self {
        let limit = served.limits.hold_max;
        Self {
            served,
            activity,
            peer,
            alarm: Alarm::default(),
            holdings: served.holders.each_ref().map(|all| all.join(limit)),
        }
    }

    /// The connection was polled and is at `end`.
    fn poll(&mut self, cx: &mut Context<'_>, end: Poll<hyper::Result<()>>) -> Poll<Close> {
        if let Poll::Ready(end) = end {
            return Poll::Ready(reason(end, self.peer));
        }
        let now = self.served.clock.now();
        let held = self.activity.held();
        for holding in &mut self.holdings {
            if holding.must_go(now, held.since) {
                return Poll::Ready(Close::Slow);
            }
            holding.park(cx, held.since, held.bytes, held.wants);
        }
        let deadline = self
            .activity
            .deadline(&self.served.http, &self.served.limits);
        let at = deadline.as_ref().map(|(at, _)| *at);
        match (self.alarm.poll(cx, now, at), deadline) {
            (Poll::Ready(()), Some((_, close))) => Poll::Ready(close),
            _ => Poll::Pending,
        }
    }
}

fn reason(end: hyper::Result<()>, peer: &Peer) -> Close {
    match end {
        Ok(()) => Close::Peer,
        Err(error) => {
            debug!(addr = %peer.addr, %error, "HTTP connection failed");
            if error.is_parse() {
                Close::protocol("malformed HTTP")
            } else {
                Close::Peer
            }
        }
    }
}

/// A request that is being answered: counted, and charged for, until its body has been sent.
struct Work {
    served: Arc<Served>,
    activity: Arc<Activity>,
    headers: Option<Charges>,
    body: Option<Charges>,
}

impl Work {
    fn begin(served: Arc<Served>, activity: Arc<Activity>) -> Self {
        let headers = activity.begin(served.clock.now());
        served.metrics.calls.inc();
        served.metrics.calls_in_flight.inc();
        Self {
            served,
            activity,
            headers,
            body: None,
        }
    }

    /// Charges `bytes` more of the body; whether they fitted in time.
    async fn charge_body(&mut self, bytes: usize) -> bool {
        let wait = self.served.limits.memory_wait_max;
        self.activity.want(bytes);
        let Some(more) = self.served.ledgers.charge(bytes, wait).await else {
            return false;
        };
        self.activity.hold(bytes, self.served.clock.now());
        merge(&mut self.body, more);
        true
    }

    /// The body has been read, or will not be.
    fn body_is_over(&self) {
        self.activity.body_is_over(self.served.clock.now());
    }

    /// `bytes` of an answer, charged for until they are sent.
    fn charged(&self, bytes: Bytes) -> Bytes {
        let served = &self.served;
        charged(bytes, &served.ledgers, &self.activity, &served.clock)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let charges = self.headers.iter().chain(&self.body);
        let held = charges.map(Charges::bytes).sum();
        self.activity.end(held, self.served.clock.now());
        self.served.metrics.calls_in_flight.dec();
    }
}

async fn handle(
    peer: Arc<Peer>,
    request: hyper::Request<Incoming>,
    mut work: Work,
) -> Result<hyper::Response<Sending>, Infallible> {
    let (head, body) = request.into_parts();
    let mut request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: Bytes::new(),
        peer,
        params: Vec::new(),
    };
    // Who may not come in, or asks for what is not there, need not send its body first.
    let (handler, is_small) = match work.served.routes.admit(&mut request) {
        Ok(admitted) => admitted,
        Err(response) => return Ok(refuse(*response, &body, work)),
    };
    if !body.is_end_stream() {
        work.activity.body_begins();
        let read = read_within(body, &mut work).await;
        work.body_is_over();
        match read {
            Ok(body) => request.body = body,
            Err(refusal) => return Ok(finish(*refusal, work)),
        }
    }
    if is_small {
        return Ok(finish(handler(request).await, work));
    }
    let served = Arc::clone(&work.served);
    let wait = served.limits.memory_wait_max;
    match gated(handler(request), &served.ledgers, wait).await {
        Some(response) => Ok(finish(response, work)),
        None => Ok(finish(*no_room(), work)),
    }
}

/// Answers before the body has come; it is not read any more.
fn refuse(response: Response, body: &Incoming, work: Work) -> hyper::Response<Sending> {
    let close = http::HeaderValue::from_static("close");
    let response = if body.is_end_stream() {
        response
    } else {
        response.with_header(http::header::CONNECTION, close)
    };
    finish(response, work)
}

async fn read_within(body: Incoming, work: &mut Work) -> Result<Bytes, Box<Response>> {
    let limit = work.served.limits.frame_time_max;
    if limit.0 == 0 {
        return read(body, work).await;
    }
    match timeout(limit.into(), read(body, work)).await {
        Ok(read) => read,
        Err(_) => Err(refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

fn no_room() -> Box<Response> {
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "no memory left in the budget",
    )
}

fn refusal(status: StatusCode, text: &'static str) -> Box<Response> {
    let close = http::HeaderValue::from_static("close");
    Box::new(Response::text(status, text).with_header(http::header::CONNECTION, close))
}

/// Reads the body: refused before it is read when its announced length is too large, charged
/// piece by piece as it comes.
async fn read(mut body: Incoming, work: &mut Work) -> Result<Bytes, Box<Response>> {
    let served = &work.served;
    let max = served.http.body_bytes_max.as_usize();
    let max = max.min(served.ledgers.share.limit());
    let too_large = || refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| refusal(StatusCode::BAD_REQUEST, "the body is malformed"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > max - first.len() - whole.len() {
            return Err(too_large());
        }
        if !work.charge_body(data.len()).await {
            return Err(no_room());
        }
        // A body that came in one piece is not copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

fn finish(response: Response, work: Work) -> hyper::Response<Sending> {
    let Response {
        status,
        headers,
        body,
    } = response;
    let body = match body {
        Body::Full(bytes) => Body::Full(work.charged(bytes)),
        Body::Stream(pieces) => Body::Stream(pieces),
    };
    let mut out = hyper::Response::new(Sending {
        body,
        gate: Gate::default(),
        work,
    });
    *out.status_mut() = status;
    *out.headers_mut() = headers;
    out
}

/// A body on its way out; the request counts as open until it is dropped.
struct Sending {
    body: Body,
    gate: Gate,
    work: Work,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let piece = match &mut this.body {
            Body::Full(bytes) if bytes.is_empty() => None,
            Body::Full(bytes) => Some(std::mem::take(bytes)),
            Body::Stream(pieces) => {
                // A piece is made when it is asked for, and its size is known then.
                let ledgers = &this.work.served.ledgers;
                ready!(this.gate.poll(cx, ledgers, &ledgers.share));
                ready!(pieces.as_mut().poll_next(cx)).map(|piece| this.work.charged(piece))
            }
        };
        Poll::Ready(piece.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.body, Body::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}
