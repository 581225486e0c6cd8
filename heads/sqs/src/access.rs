//! Who may come in where no signature is verified (`sqs.auth = "accept"`).
//!
//! Whoever reaches the address may do everything then, and so could any web page that a browser
//! on this machine shows: a form, a script, even an image's address is a request. What a page
//! sends betrays itself by its headers, which it cannot leave out: the name that it has asked for
//! (`Host`), where it comes from (`Origin`, `Sec-Fetch-Site`). Not all browsers tell the latter
//! with a GET, so that a GET without `authorization`, which no page can set without being asked
//! for leave, only looks.

use net::http::{Method, Request, host_of, is_own_host};

use crate::config::Config;
use crate::error::{Code, Failure};

/// Whether the request may come in, to do `action`.
pub(crate) fn check(config: &Config, request: &Request, action: &str) -> Result<(), Failure> {
    let host = request.header("host");
    if let Some(host) = host
        && !is_known_as(config, host)
    {
        return Err(denied(format!(
            "This server is not known as {host}: name it in sqs.hosts, or set sqs.auth to verify."
        )));
    }
    // An origin is `scheme://authority`, or `null`.
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|authority| host.is_some_and(|h| h.eq_ignore_ascii_case(authority)))
    };
    let from_elsewhere = request.headers.contains_key("origin")
        && !request.header("origin").is_some_and(is_own)
        || request
            .header("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none");
    if from_elsewhere {
        return Err(denied("Requests of web pages are not answered."));
    }
    let looks = action.starts_with("Get") || action.starts_with("List");
    if request.method == Method::GET && !looks && !request.headers.contains_key("authorization") {
        return Err(denied(
            "A GET without an authorization header may only look: use POST.",
        ));
    }
    Ok(())
}

fn is_known_as(config: &Config, host: &str) -> bool {
    let advertised = config.advertised.split_once("://");
    let advertised = advertised.map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    is_own_host(host, &config.hosts)
        || advertised.is_some_and(|known| host_of(known).eq_ignore_ascii_case(host_of(host)))
}

fn denied(message: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::new(Code::Denied, message)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use net::http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn is_let_in(method: Method, action: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let config = Config {
            hosts: vec!["broker.example".to_owned()],
            advertised: "https://sqs.example/x".to_owned(),
            ..Config::default()
        };
        let each = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let headers: HeaderMap = each.collect();
        let request = Request::new(method, "/", headers, Bytes::new());
        check(&config, &request, action).is_ok()
    }

    #[test]
    fn a_name_that_is_not_the_server_s_own_is_refused() {
        for (host, expected) in [
            ("127.0.0.1:9324", true),
            ("[::1]:9324", true),
            ("localhost", true),
            ("Broker.example:9324", true),
            ("sqs.example", true),
            ("rebound.example:9324", false),
        ] {
            let headers = [("host", host)];
            assert_eq!(
                is_let_in(Method::POST, "SendMessage", &headers),
                expected,
                "{host}"
            );
        }
        assert!(is_let_in(Method::POST, "SendMessage", &[]));
    }

    #[test]
    fn a_page_of_elsewhere_is_refused() {
        for (name, value, expected) in [
            ("origin", "http://127.0.0.1:9324", true),
            ("origin", "http://127.0.0.1:8000", false),
            ("origin", "https://example.com", false),
            ("origin", "null", false),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "cross-site", false),
        ] {
            let headers = [("host", "127.0.0.1:9324"), (name, value)];
            for action in ["SendMessage", "ListQueues"] {
                assert_eq!(
                    is_let_in(Method::POST, action, &headers),
                    expected,
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn a_get_that_an_image_s_address_could_be_only_looks() {
        let host = ("host", "10.0.0.1:9324");
        let signed = ("authorization", "AWS4-HMAC-SHA256 Credential=x/1/2/3/4");
        for action in ["DeleteQueue", "ReceiveMessage", "PurgeQueue", "SendMessage"] {
            assert!(!is_let_in(Method::GET, action, &[host]), "{action}");
            assert!(is_let_in(Method::GET, action, &[host, signed]), "{action}");
            assert!(is_let_in(Method::POST, action, &[host]), "{action}");
        }
        assert!(is_let_in(Method::GET, "GetQueueUrl", &[host]));
        assert!(is_let_in(Method::GET, "ListQueues", &[host]));
    }
}
