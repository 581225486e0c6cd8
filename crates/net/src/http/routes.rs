//! Which handler answers which method and path.
//!
//! A pattern is a path whose segments are literal (`topics`), a name that matches one segment
//! (`{topic}`), or, as the last, a name that matches all that is left (`{*path}`). Where several
//! match, the first segment that differs decides: literal before `{name}` before `{*name}`.
//! `HEAD` is answered by the handler of `GET`. A path without a pattern gives 404, a pattern
//! without the method 405.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use super::request::{Plus, Request, decode};
use super::response::Response;

/// Answers a request whose body is there.
pub(crate) type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// Answers a request that may not come in, by all but its body.
type Guard = Arc<dyn Fn(&Request) -> Option<Response> + Send + Sync>;

/// A table of routes.
#[derive(Clone, Default)]
pub struct Routes {
    routes: Vec<Route>,
    fallback: Option<Handler>,
}

#[derive(Clone)]
struct Route {
    pattern: Vec<Segment>,
    method: Method,
    handler: Handler,
    guard: Option<Guard>,
    /// Its answers are small.
    is_small: bool,
}

/// In order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Name(String),
    Rest(String),
}

impl Segment {
    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Name(_) => 1,
            Self::Rest(_) => 2,
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.routes.iter().map(|r| (&r.method, &r.pattern)))
            .finish()
    }
}

impl Routes {
    /// No route yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler for one method of one pattern.
    ///
    /// # Panics
    /// When the same method and pattern have a handler already, or the pattern is malformed: both
    /// are mistakes in the program, found at its start.
    #[must_use]
    pub fn route<F, R>(mut self, method: Method, pattern: &str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let pattern = parse(pattern);
        let handler: Handler = Arc::new(move |request| handler(request).boxed());
        self.add(Route {
            pattern,
            method,
            handler,
            guard: None,
            is_small: false,
        });
        self
    }

    /// [`Routes::get`] for a path whose answer is a few bytes: it is given however little memory is
    /// left.
    #[must_use]
    pub fn get_small<F, R>(mut self, pattern: &str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.add(Route {
            pattern: parse(pattern),
            method: Method::GET,
            handler: Arc::new(move |request| handler(request).boxed()),
            guard: None,
            is_small: true,
        });
        self
    }

    /// Has `guard` look at each request for the routes that are in the table now before its body
    /// is read. What it answers is the answer.
    #[must_use]
    pub fn guarded<F>(mut self, guard: F) -> Self
    where
        F: Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    {
        let guard: Guard = Arc::new(guard);
        for route in &mut self.routes {
            route.guard.get_or_insert_with(|| Arc::clone(&guard));
        }
        self
    }

    /// [`Routes::route`] for `GET` (and `HEAD`).
    #[must_use]
    pub fn get<F, R>(self, pattern: &str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.route(Method::GET, pattern, handler)
    }

    /// [`Routes::route`] for `POST`.
    #[must_use]
    pub fn post<F, R>(self, pattern: &str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.route(Method::POST, pattern, handler)
    }

    /// [`Routes::route`] for `PUT`.
    #[must_use]
    pub fn put<F, R>(self, pattern: &str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.route(Method::PUT, pattern, handler)
    }

    /// [`Routes::route`] for `DELETE`.
    #[must_use]
    pub fn delete<F, R>(self, pattern: &str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.route(Method::DELETE, pattern, handler)
    }

    /// Answers every request that no pattern matches.
    #[must_use]
    pub fn fallback<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.fallback = Some(Arc::new(move |request| handler(request).boxed()));
        self
    }

    /// Adds all routes of `other` (its fallback, if this has none).
    ///
    /// # Panics
    /// When both have the same method and pattern.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for route in other.routes {
            self.add(route);
        }
        self.fallback = self.fallback.or(other.fallback);
        self
    }

    fn add(&mut self, route: Route) {
        let twice = self.routes.iter().any(|known| {
            known.method == route.method
                && compare(&known.pattern, &route.pattern) == Ordering::Equal
        });
        assert!(
            !twice,
            "{} {:?} has two handlers",
            route.method, route.pattern
        );
        self.routes.push(route);
        self.routes.sort_by(|a, b| compare(&a.pattern, &b.pattern));
    }

    /// Who answers, by all but the request's body, and whether with little; or the answer: 400, 404, 405, that of a guard,
    /// and that to `OPTIONS`.
    pub(crate) fn admit(&self, request: &mut Request) -> Result<(Handler, bool), Box<Response>> {
        let (handler, route) = self.find(request)?;
        let guard = route.and_then(|route| route.guard.as_ref());
        match guard.and_then(|guard| guard(request)) {
            Some(refusal) => Err(Box::new(refusal)),
            None => Ok((Arc::clone(handler), route.is_some_and(|r| r.is_small))),
        }
    }

    /// The handler for `request`, whose parameters are set.
    fn find(&self, request: &mut Request) -> Result<(&Handler, Option<&Route>), Box<Response>> {
        let Some(path) = segments(&request.path) else {
            return Err(text(StatusCode::BAD_REQUEST, "the path is malformed"));
        };
        let mut best: Option<&Route> = None;
        let mut allowed = BTreeSet::new();
        for route in &self.routes {
            // Only the best pattern counts: `/a/{x}` does not answer for `/a/b`.
            if best.is_some_and(|best| compare(&best.pattern, &route.pattern).is_ne()) {
                break;
            }
            let Some(params) = params(&route.pattern, &path) else {
                continue;
            };
            best = Some(route);
            let is_head = request.method == Method::HEAD && route.method == Method::GET;
            if route.method == request.method || is_head {
                request.params = params;
                return Ok((&route.handler, Some(route)));
            }
            allowed.insert(route.method.as_str());
        }
        match (best, &self.fallback) {
            (Some(_), _) => Err(Box::new(not_allowed(&request.method, &allowed))),
            (None, Some(fallback)) => Ok((fallback, None)),
            (None, None) => Err(text(StatusCode::NOT_FOUND, "nothing is at this path")),
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Box<Response> {
    Box::new(Response::text(status, text))
}

fn not_allowed(method: &Method, allowed: &BTreeSet<&str>) -> Response {
    let list = allowed.iter().copied().collect::<Vec<_>>().join(", ");
    let response = if method == Method::OPTIONS {
        Response::empty(StatusCode::NO_CONTENT)
    } else {
        Response::text(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("this path takes {list}"),
        )
    };
    match HeaderValue::from_str(&list) {
        Ok(list) => response.with_header(ALLOW, list),
        Err(_) => response,
    }
}

fn parse(pattern: &str) -> Vec<Segment> {
    let path = pattern
        .strip_prefix('/')
        .unwrap_or_else(|| panic!("`{pattern}` has no leading /"));
    let segments: Vec<Segment> = path
        .split('/')
        .map(
            |segment| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                Some(name) => match name.strip_prefix('*') {
                    Some(name) => Segment::Rest(name.to_owned()),
                    None => Segment::Name(name.to_owned()),
                },
                None => Segment::Literal(segment.to_owned()),
            },
        )
        .collect();
    let rest_before_end = segments.iter().rev().skip(1).any(|s| s.rank() == 2);
    assert!(
        !rest_before_end,
        "`{pattern}` has more behind its {{*name}}"
    );
    segments
}

/// By precedence; equal when they match the same paths.
fn compare(a: &[Segment], b: &[Segment]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// The decoded segments of a path; `None` if it is malformed.
fn segments(path: &str) -> Option<Vec<String>> {
    path.strip_prefix('/')?
        .split('/')
        .map(|segment| decode(segment, Plus::IsPlus))
        .collect()
}

/// What the names of `pattern` match in `path`; `None` if it does not match.
fn params(pattern: &[Segment], path: &[String]) -> Option<Vec<(String, String)>> {
    let mut params = Vec::new();
    for (at, segment) in pattern.iter().enumerate() {
        let found = path.get(at)?;
        match segment {
            Segment::Literal(literal) if literal == found => {}
            Segment::Literal(_) => return None,
            Segment::Name(name) if !found.is_empty() => {
                params.push((name.clone(), found.clone()));
            }
            Segment::Name(_) => return None,
            Segment::Rest(name) => {
                params.push((name.clone(), path[at..].join("/")));
                return Some(params);
            }
        }
    }
    (path.len() == pattern.len()).then_some(params)
}
