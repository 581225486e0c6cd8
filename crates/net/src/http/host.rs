//! The name by which a request has asked for a server.

use std::net::IpAddr;

/// `host:port` or `[address]:port` without the port and brackets (RFC 3986 3.2.2).
#[must_use]
pub fn host_of(authority: &str) -> &str {
    if let Some((address, _)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return address;
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether `authority`, a request's `Host`, is a name of this server: one of `known` (without
/// ports), `localhost`, or an address. A name whose owner lets it resolve to this address is not;
/// an address cannot be made to mean something else.
#[must_use]
pub fn is_own_host(authority: &str, known: &[String]) -> bool {
    let host = host_of(authority);
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || known.iter().any(|known| known.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_taken_apart() {
        for (authority, host) in [
            ("localhost", "localhost"),
            ("localhost:8080", "localhost"),
            ("[::1]:8080", "::1"),
            ("[::1]", "::1"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("a.example:", "a.example"),
            ("::1", ":"),
        ] {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }

    #[test]
    fn a_server_knows_its_names() {
        let known = ["broker.example".to_owned()];
        for own in ["localhost:1", "10.0.0.1:9324", "[::1]", "Broker.Example:80"] {
            assert!(is_own_host(own, &known), "{own}");
        }
        for other in ["", "example", "127.0.0.1.rebound.example", "localhost.x:80"] {
            assert!(!is_own_host(other, &known), "{other}");
        }
    }
}
