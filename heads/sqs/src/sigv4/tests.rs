//! The published suite of signatures, what must be refused, and what the cache may hold.

use net::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;

/// 2015-08-30 12:36:00.
const NOW: i64 = 1_440_938_160_000;
const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Name, method, target, headers besides host and date, signed headers, body, signature: the cases of
/// Amazon's test suite for Signature Version 4 with normal paths.
#[rustfmt::skip]
const SUITE: &[(&str, &str, &str, &str, &str, &str, &str)] = &[
    ("get-header-key-duplicate", "GET", "/", "my-header1:value2\nmy-header1:value2\nmy-header1:value1", "host;my-header1;x-amz-date", "", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ("get-header-value-multiline", "GET", "/", "my-header1:value1  value2     value3", "host;my-header1;x-amz-date", "", "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"),
    ("get-header-value-order", "GET", "/", "my-header1:value4\nmy-header1:value1\nmy-header1:value3\nmy-header1:value2", "host;my-header1;x-amz-date", "", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("get-header-value-trim", "GET", "/", "my-header1: value1\nmy-header2: \"a   b   c\"", "host;my-header1;my-header2;x-amz-date", "", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("get-relative-normalized", "GET", "/example/..", "", "host;x-amz-date", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-relative-relative-normalized", "GET", "/example1/example2/../..", "", "host;x-amz-date", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-dot-slash-normalized", "GET", "/./", "", "host;x-amz-date", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-normalized", "GET", "//", "", "host;x-amz-date", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-pointless-dot-normalized", "GET", "/./example", "", "host;x-amz-date", "", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    ("get-slashes-normalized", "GET", "//example//", "", "host;x-amz-date", "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("get-space-normalized", "GET", "/example space/", "", "host;x-amz-date", "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    ("get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", "host;x-amz-date", "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-utf8", "GET", "/ሴ", "", "host;x-amz-date", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("get-vanilla", "GET", "/", "", "host;x-amz-date", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-vanilla-empty-query-key", "GET", "/?Param1=value1", "", "host;x-amz-date", "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("get-vanilla-query", "GET", "/", "", "host;x-amz-date", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-vanilla-query-order-encoded", "GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "", "host;x-amz-date", "", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
    ("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", "host;x-amz-date", "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("get-vanilla-query-unreserved", "GET", "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", "host;x-amz-date", "", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("get-vanilla-utf8-query", "GET", "/?ሴ=bar", "", "host;x-amz-date", "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("get-vanilla-with-session-token", "GET", "/", "x-amz-security-token:6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267", "host;x-amz-date;x-amz-security-token", "", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
    ("post-header-key-case", "POST", "/", "", "host;x-amz-date", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-header-key-sort", "POST", "/", "my-header1:value1", "host;my-header1;x-amz-date", "", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
    ("post-header-value-case", "POST", "/", "my-header1:VALUE1", "host;my-header1;x-amz-date", "", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
    ("post-sts-header-after", "POST", "/", "x-amz-security-token:AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==", "host;x-amz-date", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-sts-header-before", "POST", "/", "x-amz-security-token:AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==", "host;x-amz-date;x-amz-security-token", "", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ("post-vanilla", "POST", "/", "", "host;x-amz-date", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-vanilla-empty-query-value", "POST", "/?Param1=value1", "", "host;x-amz-date", "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ("post-vanilla-query", "POST", "/?Param1=value1", "", "host;x-amz-date", "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ("post-x-www-form-urlencoded", "POST", "/", "content-type:application/x-www-form-urlencoded\ncontent-length:13\nx-amz-content-sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e", "content-length;content-type;host;x-amz-content-sha256;x-amz-date", "Param1=value1", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
    ("post-x-www-form-urlencoded-parameters", "POST", "/", "content-type:application/x-www-form-urlencoded; charset=utf-8\ncontent-length:13\nx-amz-content-sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e", "content-length;content-type;host;x-amz-content-sha256;x-amz-date", "Param1=value1", "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
];

/// Name, method, target: cases of the same suite that are signed in the query, for an hour.
#[rustfmt::skip]
const PRESIGNED: &[(&str, &str, &str)] = &[
    ("get-vanilla", "GET", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"),
    ("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5"),
    ("get-utf8", "GET", "/ሴ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=10eae3f14a260bd3911cc6d008d3c576d143b05b62f09782a7a4b37f52178e44"),
    ("get-slash-dot-slash-normalized", "GET", "/./?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"),
    ("get-vanilla-with-session-token", "GET", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Security-Token=6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267&X-Amz-Signature=7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c"),
    ("post-vanilla", "POST", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=2ce6e6d2e0cf2f9d1b55fafec88cd20574c31dc2e7631979f71ba2310083e95b"),
];

fn verifier(service: &'static str) -> Verifier {
    let secrets = secrets(&format!("# keys\n\n{KEY}  {SECRET}\n")).unwrap();
    Verifier::new(secrets, service)
}

fn request(method: &str, target: &str, headers: &str, body: &str) -> Request {
    let mut map = HeaderMap::new();
    map.insert("host", HeaderValue::from_static("example.amazonaws.com"));
    for line in headers.lines() {
        let (name, value) = line.split_once(':').unwrap();
        map.append(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::try_from(value).unwrap(),
        );
    }
    let method = Method::try_from(method).unwrap();
    Request::new(method, target, map, body.to_owned().into())
}

fn signed(case: &(&str, &str, &str, &str, &str, &str, &str), day: &str) -> Request {
    let (_, method, target, headers, signed, body, signature) = case;
    let authorization = format!(
        "authorization:AWS4-HMAC-SHA256 Credential={KEY}/{day}/us-east-1/service/aws4_request, \
         SignedHeaders={signed}, Signature={signature}"
    );
    let headers = format!("{headers}\nx-amz-date:20150830T123600Z\n{authorization}");
    request(method, target, headers.trim_start(), body)
}

fn codes(verifier: &Verifier, request: &Request, now: i64) -> Result<String, Code> {
    let verified = verifier.verify(request, now);
    verified.map(str::to_owned).map_err(|failure| failure.code)
}

#[test]
fn the_suite_verifies_and_nothing_that_differs() {
    let verifier = verifier("service");
    for case in SUITE {
        let good = signed(case, "20150830");
        assert_eq!(verifier.verify(&good, NOW), Ok(KEY), "{}", case.0);
        let mut other = good.clone();
        other.method = Method::PATCH;
        assert_eq!(
            codes(&verifier, &other, NOW),
            Err(Code::Signature),
            "{}",
            case.0
        );
        let mut other = good.clone();
        other.query.push_str("&x=y");
        assert_eq!(
            codes(&verifier, &other, NOW),
            Err(Code::Signature),
            "{}",
            case.0
        );
        let mut other = good.clone();
        other.path.push_str("/x");
        assert_eq!(
            codes(&verifier, &other, NOW),
            Err(Code::Signature),
            "{}",
            case.0
        );
        let mut other = good;
        other.body = "changed".into();
        assert_eq!(
            codes(&verifier, &other, NOW),
            Err(Code::Signature),
            "{}",
            case.0
        );
    }
}

#[test]
fn a_url_signed_beforehand_lives_as_long_as_it_says() {
    let verifier = verifier("service");
    for (name, method, target) in PRESIGNED {
        let good = request(method, target, "", "");
        assert_eq!(verifier.verify(&good, NOW), Ok(KEY), "{name}");
        assert_eq!(verifier.verify(&good, NOW + 3_600_000), Ok(KEY), "{name}");
        let late = codes(&verifier, &good, NOW + 3_600_001);
        assert_eq!(late, Err(Code::Expired), "{name}");
        let early = codes(&verifier, &good, NOW - SKEW_MAX_MS - 1);
        assert_eq!(early, Err(Code::Signature), "{name}");
        let longer = target.replace("Expires=3600", "Expires=604800");
        let longer = request(method, &longer, "", "");
        assert_eq!(
            codes(&verifier, &longer, NOW),
            Err(Code::Signature),
            "{name}"
        );
        let too_long = target.replace("Expires=3600", "Expires=604801");
        let too_long = request(method, &too_long, "", "");
        assert_eq!(
            codes(&verifier, &too_long, NOW),
            Err(Code::IncompleteSignature),
            "{name}"
        );
    }
}

#[test]
fn old_and_future_requests_are_refused() {
    let verifier = verifier("service");
    let good = signed(&SUITE[0], "20150830");
    for at in [NOW + SKEW_MAX_MS, NOW - SKEW_MAX_MS] {
        assert_eq!(verifier.verify(&good, at), Ok(KEY));
    }
    assert_eq!(
        codes(&verifier, &good, NOW + SKEW_MAX_MS + 1),
        Err(Code::Expired)
    );
    assert_eq!(
        codes(&verifier, &good, NOW - SKEW_MAX_MS - 1),
        Err(Code::Signature)
    );
    let other_day = signed(&SUITE[0], "20150829");
    assert_eq!(
        codes(&verifier, &other_day, NOW),
        Err(Code::IncompleteSignature)
    );
}

#[test]
fn what_is_not_signed_as_it_must_be_is_refused() {
    let verifier = verifier("service");
    let good = signed(&SUITE[0], "20150830");
    let with = |name: &'static str, value: &str| {
        let mut other = good.clone();
        other
            .headers
            .insert(name, HeaderValue::try_from(value).unwrap());
        other
    };
    // A header of Amazon's own that the signature does not cover.
    let unsigned = with("x-amz-target", "AmazonSQS.DeleteQueue");
    assert_eq!(
        codes(&verifier, &unsigned, NOW),
        Err(Code::IncompleteSignature)
    );
    let mut none = good.clone();
    none.headers.remove("authorization");
    assert_eq!(codes(&verifier, &none, NOW), Err(Code::NoToken));
    let text = good.header("authorization").unwrap().to_owned();
    let unknown = with("authorization", &text.replace(KEY, "AKIDOTHER"));
    assert_eq!(codes(&verifier, &unknown, NOW), Err(Code::UnknownKey));
    for (from, to) in [
        ("AWS4-HMAC-SHA256", "AWS3"),
        ("Signature=", "X="),
        ("SignedHeaders=host;", "SignedHeaders="),
        ("/aws4_request", ""),
        ("Credential=", "Credential=/"),
    ] {
        let broken = with("authorization", &text.replace(from, to));
        assert_eq!(
            codes(&verifier, &broken, NOW),
            Err(Code::IncompleteSignature),
            "{from}"
        );
    }
    let other_service = self::verifier("sqs");
    assert_eq!(codes(&other_service, &good, NOW), Err(Code::Signature));
}

#[test]
fn derived_keys_are_bounded() {
    let verifier = verifier("service");
    let good = signed(&SUITE[0], "20150830");
    let text = good.header("authorization").unwrap().to_owned();
    for n in 0..KEYS_KEPT + 10 {
        let mut other = good.clone();
        let text = text.replace("us-east-1", &format!("region-{n}"));
        other
            .headers
            .insert("authorization", HeaderValue::try_from(text).unwrap());
        assert_eq!(codes(&verifier, &other, NOW), Err(Code::Signature));
    }
    assert!(verifier.derived.lock().len() <= KEYS_KEPT);
}

#[test]
fn a_credentials_file_has_two_words_a_line() {
    assert_eq!(secrets("a b\n#c\n\n d  e ").unwrap().len(), 2);
    let error = secrets("a b\nsecret").unwrap_err();
    assert!(
        error.contains("line 2") && !error.contains("secret"),
        "{error}"
    );
    assert!(secrets("a b c").is_err());
}
