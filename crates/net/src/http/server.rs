//! One HTTP connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use base::{Charge, Clock, Ledger};
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
use super::request::Request;
use super::response::{Body, Response};
use super::routes::Routes;
use crate::config::Limits;
use crate::drive::alarm::Alarm;
use crate::head::{Close, Peer};
use crate::listen::{Accepted, Parts};
use crate::metrics::HeadMetrics;

/// What all connections of one HTTP listener share.
#[derive(Debug)]
pub(crate) struct Served {
    routes: Routes,
    http: HttpConfig,
    limits: Limits,
    clock: Clock,
    ledger: Ledger,
    metrics: HeadMetrics,
}

impl Served {
    pub(crate) fn new(
        routes: Routes,
        http: HttpConfig,
        limits: Limits,
        parts: &Parts,
        metrics: HeadMetrics,
    ) -> Self {
        let (clock, ledger) = (parts.clock.clone(), parts.ledger.clone());
        Self {
            routes,
            http,
            limits,
            clock,
            ledger,
            metrics,
        }
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
    let mut alarm = Alarm::default();
    let mut watch = |cx: &mut Context<'_>, end: Poll<hyper::Result<()>>| -> Poll<Close> {
        if let Poll::Ready(end) = end {
            return Poll::Ready(reason(end, &peer));
        }
        let deadline = activity.deadline(&served.http, &served.limits);
        let at = deadline.as_ref().map(|(at, _)| *at);
        match (alarm.poll(cx, served.clock.now(), at), deadline) {
            (Poll::Ready(()), Some((_, close))) => Poll::Ready(close),
            _ => Poll::Pending,
        }
    };
    let close = tokio::select! {
        biased;
        close = poll_fn(|cx| {
            let end = connection.as_mut().poll(cx);
            watch(cx, end)
        }) => close,
        () = drain.requested() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                _ = poll_fn(|cx| {
            let end = connection.as_mut().poll(cx);
            watch(cx, end)
        }) => Close::Drain,
                () = sleep(served.limits.drain_max.into()) => Close::Drain,
            }
        }
    };
    served.metrics.closed(close.label());
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
    charge: Option<Charge>,
}

impl Work {
    fn begin(served: Arc<Served>, activity: Arc<Activity>) -> Self {
        activity.begin();
        served.metrics.calls.inc();
        served.metrics.calls_in_flight.inc();
        Self {
            served,
            activity,
            charge: None,
        }
    }

    /// Charges `bytes` more, if they fit.
    fn charge(&mut self, bytes: usize) -> bool {
        match (self.served.ledger.try_charge(bytes), &mut self.charge) {
            (None, _) => return false,
            (Some(more), Some(charge)) => charge.merge(more),
            (Some(more), charge @ None) => *charge = Some(more),
        }
        true
    }

    /// Charges an answer, which is there already.
    fn force(&mut self, bytes: usize) {
        let more = self.served.ledger.force_charge(bytes);
        match &mut self.charge {
            Some(charge) => charge.merge(more),
            charge @ None => *charge = Some(more),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.activity.end(self.served.clock.now());
        self.served.metrics.calls_in_flight.dec();
    }
}

async fn handle(
    peer: Arc<Peer>,
    request: hyper::Request<Incoming>,
    mut work: Work,
) -> Result<hyper::Response<Sending>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match read_within(body, &mut work).await {
        Ok(body) => body,
        Err(refusal) => return Ok(finish(*refusal, work)),
    };
    let request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        peer,
        params: Vec::new(),
    };
    let answer = work.served.routes.answer(request);
    let response = answer.await;
    Ok(finish(response, work))
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

fn refusal(status: StatusCode, text: &'static str) -> Box<Response> {
    let close = http::HeaderValue::from_static("close");
    Box::new(Response::text(status, text).with_header(http::header::CONNECTION, close))
}

/// Reads the body: refused before it is read when its announced length is too large, charged
/// piece by piece as it comes.
async fn read(mut body: Incoming, work: &mut Work) -> Result<Bytes, Box<Response>> {
    let max = work.served.http.body_bytes_max.as_usize();
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
        if !work.charge(data.len()) {
            return Err(refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "no memory left in the budget",
            ));
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

fn finish(response: Response, mut work: Work) -> hyper::Response<Sending> {
    let Response {
        status,
        headers,
        body,
    } = response;
    if let Body::Full(bytes) = &body {
        work.force(bytes.len());
    }
    let mut out = hyper::Response::new(Sending { body, _work: work });
    *out.status_mut() = status;
    *out.headers_mut() = headers;
    out
}

/// A body on its way out; the request counts as open until it is dropped.
struct Sending {
    body: Body,
    _work: Work,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.body {
            Body::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Body::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Body::Stream(pieces) => pieces
                .as_mut()
                .poll_next(cx)
                .map(|piece| piece.map(|data| Ok(Frame::data(data)))),
        }
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
