//! Which handler answers which path, and who may ask.

use std::sync::Arc;

use net::http::{Method, Request, Response, Routes, is_own_host};

use crate::error::Problem;
use crate::handlers::{
    configs, exchanges, groups, health, publish, queues, records, store, tail, topics, users,
};
use crate::{Admin, Shared};

/// What every handler gives.
pub(crate) type Answer = Result<Response, Problem>;

impl Admin {
    /// The routes, to be served.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let on = Table { shared: &self.0 };
        let mut routes = on.topics(Routes::new());
        routes = on.queues(routes);
        routes = on.exchanges(routes);
        routes = on.route(routes, Method::GET, "/metrics", health::metrics);
        routes = on.route(routes, Method::GET, "/v1/store", store::state);
        routes = on.route(routes, Method::GET, "/v1/groups", groups::list);
        routes = on.route(routes, Method::GET, "/v1/groups/{group}", groups::describe);
        routes = on.route(routes, Method::DELETE, "/v1/groups/{group}", groups::delete);
        routes = on.route(
            routes,
            Method::PUT,
            "/v1/groups/{group}/offsets",
            groups::set_offsets,
        );
        routes = on.route(routes, Method::GET, "/v1/users", users::list);
        routes = on.route(routes, Method::PUT, "/v1/users/{user}", users::put);
        routes = on.route(routes, Method::DELETE, "/v1/users/{user}", users::delete);
        routes = on.guarded(routes);
        routes = on.open(routes, "/healthz", health::alive);
        on.open(routes, "/readyz", health::ready)
    }
}

struct Table<'a> {
    shared: &'a Arc<Shared>,
}

impl Table<'_> {
    fn topics(&self, mut routes: Routes) -> Routes {
        let on = self;
        routes = on.route(routes, Method::GET, "/v1/topics", topics::list);
        routes = on.route(routes, Method::POST, "/v1/topics", topics::create);
        routes = on.route(routes, Method::GET, "/v1/topics/{topic}", topics::describe);
        routes = on.route(routes, Method::DELETE, "/v1/topics/{topic}", topics::delete);
        routes = on.route(
            routes,
            Method::POST,
            "/v1/topics/{topic}/partitions",
            topics::grow,
        );
        routes = on.route(
            routes,
            Method::GET,
            "/v1/topics/{topic}/config",
            configs::show,
        );
        routes = on.route(
            routes,
            Method::PATCH,
            "/v1/topics/{topic}/config",
            configs::change,
        );
        routes = on.route(
            routes,
            Method::POST,
            "/v1/topics/{topic}/records",
            publish::publish,
        );
        routes = on.route(
            routes,
            Method::GET,
            "/v1/topics/{topic}/records",
            records::read,
        );
        routes = on.route(routes, Method::GET, "/v1/topics/{topic}/tail", tail::tail);
        routes
    }

    fn queues(&self, mut routes: Routes) -> Routes {
        let on = self;
        routes = on.route(routes, Method::GET, "/v1/queues", queues::list);
        routes = on.route(routes, Method::POST, "/v1/queues", queues::create);
        routes = on.route(
            routes,
            Method::GET,
            "/v1/queues/{namespace}/{queue}",
            queues::describe,
        );
        routes = on.route(
            routes,
            Method::PUT,
            "/v1/queues/{namespace}/{queue}",
            queues::put,
        );
        routes = on.route(
            routes,
            Method::DELETE,
            "/v1/queues/{namespace}/{queue}",
            queues::delete,
        );
        routes = on.route(
            routes,
            Method::POST,
            "/v1/queues/{namespace}/{queue}/purge",
            queues::purge,
        );
        routes = on.route(
            routes,
            Method::GET,
            "/v1/queues/{namespace}/{queue}/peek",
            queues::peek,
        );
        routes
    }

    fn exchanges(&self, mut routes: Routes) -> Routes {
        let on = self;
        routes = on.route(routes, Method::GET, "/v1/exchanges", exchanges::list);
        routes = on.route(routes, Method::POST, "/v1/exchanges", exchanges::create);
        routes = on.route(
            routes,
            Method::GET,
            "/v1/exchanges/{namespace}/{exchange}",
            exchanges::describe,
        );
        routes = on.route(
            routes,
            Method::PUT,
            "/v1/exchanges/{namespace}/{exchange}",
            exchanges::put,
        );
        routes = on.route(
            routes,
            Method::DELETE,
            "/v1/exchanges/{namespace}/{exchange}",
            exchanges::delete,
        );
        routes = on.route(
            routes,
            Method::POST,
            "/v1/exchanges/{namespace}/{exchange}/bind",
            exchanges::bind,
        );
        routes = on.route(
            routes,
            Method::POST,
            "/v1/exchanges/{namespace}/{exchange}/unbind",
            exchanges::unbind,
        );
        routes
    }

    /// A route for whoever may come in.
    fn route<F, R>(&self, routes: Routes, method: Method, pattern: &str, handler: F) -> Routes
    where
        F: Fn(Arc<Shared>, Request) -> R + Send + Sync + Copy + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        let shared = self.shared.clone();
        routes.route(method, pattern, move |request| {
            let answer = handler(shared.clone(), request);
            async move { answer.await.unwrap_or_else(Problem::into_response) }
        })
    }

    /// The routes so far are for whoever may come in.
    fn guarded(&self, routes: Routes) -> Routes {
        let shared = self.shared.clone();
        routes.guarded(move |request| {
            let allowed = shared.authorize(request);
            allowed.err().map(Problem::into_response)
        })
    }

    /// A route for everybody.
    fn open(&self, routes: Routes, pattern: &str, handler: fn(&Shared) -> Response) -> Routes {
        let shared = self.shared.clone();
        routes.get_small(pattern, move |_| std::future::ready(handler(&shared)))
    }
}

impl Shared {
    /// Whether the request may come in.
    fn authorize(&self, request: &Request) -> Result<(), Problem> {
        if let Some(token) = &self.token {
            let given = request
                .header("authorization")
                .and_then(|v| v.strip_prefix("Bearer "));
            if !given.is_some_and(|given| same(given.trim().as_bytes(), token.as_bytes())) {
                return Err(Problem::unauthorized());
            }
        } else if let Some(host) = request.header("host")
            && !is_own_host(host, &self.config.hosts)
        {
            // What needs no token must not be in reach of any page that a browser shows.
            return Err(Problem::misdirected(host));
        }
        let is_json = request.header("content-type").is_some_and(|kind| {
            kind.split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
        // What a form of a foreign web page could send is not taken.
        if request.method == Method::POST && !is_json {
            return Err(Problem::media_type());
        }
        Ok(())
    }
}

/// Compares in a time that does not tell where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differences == 0
}
