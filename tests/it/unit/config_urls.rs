//! The rules for URLs: `https` except on loopback, port 443 for `PUBLIC_URL`, and no parts that would be lost or
//! misread.

use super::config::{environment, faults, read};

/// Hosts that are this machine.
const LOOPBACK: [&str; 7] = ["localhost", "LOCALHOST", "127.0.0.1", "127.9.8.7", "[::1]", "127.1", "2130706433"];
/// Hosts that only look like this machine.
const ELSEWHERE: [&str; 8] = [
    "localhost.example.com",
    "127.0.0.1.example.com",
    "0.0.0.0",
    "10.0.0.1",
    "192.168.0.1",
    "[::2]",
    "[fe80::1]",
    "example.com",
];
const LOCAL_API: (&str, &str) = ("BIGCOMMERCE_API_URL", "http://127.0.0.1:9000");

#[test]
fn plain_http_is_taken_for_loopback_only() {
    for name in ["ONE_TRIBE_DESTINATION", "BIGCOMMERCE_API_URL", "BIGCOMMERCE_LOGIN_URL", "PUBLIC_URL"] {
        for host in LOOPBACK {
            assert_eq!(faults(&[(name, &format!("http://{host}/x"))]), [""; 0], "{name} {host}");
            assert_eq!(faults(&[(name, &format!("http://{host}:8080/x"))]), [""; 0], "{name} {host}");
        }
        for host in ELSEWHERE {
            assert_eq!(faults(&[(name, &format!("http://{host}/x"))]), [name], "{name} {host}");
            assert_eq!(faults(&[(name, &format!("https://{host}/x"))]), [""; 0], "{name} {host}");
        }
        // The host counts, not the text before an `@`.
        assert_eq!(faults(&[(name, "http://127.0.0.1@example.com/")]), [name]);
        assert_eq!(faults(&[(name, "http://localhost:80@example.com/")]), [name]);
    }
}

#[test]
fn other_schemes_and_broken_urls_are_refused() {
    for name in ["ONE_TRIBE_DESTINATION", "BIGCOMMERCE_API_URL", "BIGCOMMERCE_LOGIN_URL", "PUBLIC_URL"] {
        for url in [
            "example.com",
            "//example.com",
            "ftp://example.com",
            "ws://localhost",
            "file:///etc/passwd",
            "https://",
            "https://?x",
            "https://exa mple.com",
            "https://example.com:99999",
            "https://[::1",
            "javascript:alert(1)",
            "https://user@example.com",
            "https://user:pass@example.com",
            "https://example.com/#part",
            "https://example.com/#",
        ] {
            assert_eq!(faults(&[(name, url)]), [name], "{name}={url}");
        }
    }
}

#[test]
fn the_public_url_is_on_port_443() {
    for url in ["https://relay.example.com", "https://relay.example.com:443/", "https://relay.example.com/a/b/"] {
        assert_eq!(faults(&[("PUBLIC_URL", url)]), [""; 0], "{url}");
    }
    for url in ["https://relay.example.com:8443", "https://relay.example.com:80", "https://relay.example.com:444/x"] {
        assert_eq!(faults(&[("PUBLIC_URL", url)]), ["PUBLIC_URL"], "{url}");
    }
    // The other URLs may have any port.
    for name in ["ONE_TRIBE_DESTINATION", "BIGCOMMERCE_API_URL", "BIGCOMMERCE_LOGIN_URL"] {
        assert_eq!(faults(&[(name, "https://example.com:8443/x")]), [""; 0], "{name}");
    }
}

#[test]
fn a_loopback_api_frees_the_public_url_of_https_and_of_port_443() {
    for url in ["http://relay.test", "http://relay.test:8080", "https://relay.test:8443", "http://10.0.0.1:1"] {
        assert_eq!(faults(&[LOCAL_API, ("PUBLIC_URL", url)]), [""; 0], "{url}");
        assert_eq!(faults(&[("PUBLIC_URL", url)]), ["PUBLIC_URL"], "{url}");
    }
    // This exempts neither the destination nor the login server, and no other rule.
    assert_eq!(faults(&[LOCAL_API, ("ONE_TRIBE_DESTINATION", "http://relay.test")]), ["ONE_TRIBE_DESTINATION"]);
    assert_eq!(faults(&[LOCAL_API, ("BIGCOMMERCE_LOGIN_URL", "http://relay.test")]), ["BIGCOMMERCE_LOGIN_URL"]);
    assert_eq!(faults(&[LOCAL_API, ("PUBLIC_URL", "ftp://relay.test")]), ["PUBLIC_URL"]);
    // A faulty API URL exempts nothing.
    assert_eq!(
        faults(&[("BIGCOMMERCE_API_URL", "http://example.com"), ("PUBLIC_URL", "http://relay.test")]),
        ["BIGCOMMERCE_API_URL", "PUBLIC_URL"]
    );
}

#[test]
fn base_urls_take_no_query_and_lose_their_trailing_slashes() {
    for name in ["BIGCOMMERCE_API_URL", "BIGCOMMERCE_LOGIN_URL", "PUBLIC_URL"] {
        assert_eq!(faults(&[(name, "https://example.com/?a=b")]), [name]);
    }
    let config =
        read(&[("PUBLIC_URL", "https://example.com/relay//"), ("BIGCOMMERCE_API_URL", "https://api.example.com/v//")]);
    let settings = config.unwrap().settings;
    assert_eq!(settings.public_url.unwrap().as_str(), "https://example.com/relay");
    assert_eq!(settings.api_url.as_str(), "https://api.example.com/v");
}

#[test]
fn the_destination_keeps_its_path_and_query_as_they_are() {
    let url = "https://api.example.com:8443/direct/webhook/big-commerce/order/bOpx?a=b%20c&d=%2F";
    let config = read(&[("ONE_TRIBE_DESTINATION", url)]).unwrap();
    let destination = environment(&config).0.destination.as_ref().unwrap();
    assert_eq!(destination.url().expose(), url);
}

#[test]
fn alerts_may_go_to_any_web_address() {
    for url in ["https://hooks.example.com/x", "http://alerts.internal:9093/y"] {
        assert_eq!(faults(&[("ALERT_URL", url)]), [""; 0], "{url}");
    }
    for url in ["example.com", "mailto:a@example.com", "ftp://example.com/x", "https://"] {
        assert_eq!(faults(&[("ALERT_URL", url)]), ["ALERT_URL"], "{url}");
    }
}

#[test]
fn what_the_relay_adds_itself_is_not_taken_twice() {
    for url in ["https://api.bigcommerce.com/stores/abcde/v3/", "https://api.bigcommerce.com/stores/abcde"] {
        assert_eq!(faults(&[("BIGCOMMERCE_API_URL", url)]), ["BIGCOMMERCE_API_URL"], "{url}");
    }
    for url in ["https://relay.example/webhooks/bigcommerce", "https://relay.example/base/webhooks/bigcommerce/"] {
        assert_eq!(faults(&[("PUBLIC_URL", url)]), ["PUBLIC_URL"], "{url}");
    }
    assert_eq!(faults(&[("BIGCOMMERCE_API_URL", "https://proxy.example/bigcommerce")]), [""; 0]);
    assert_eq!(faults(&[("PUBLIC_URL", "https://relay.example/base")]), [""; 0]);
    assert_eq!(faults(&[("BIGCOMMERCE_SCOPES", "store/")]), ["BIGCOMMERCE_SCOPES"]);
}

#[test]
fn a_call_is_waited_for_an_hour_at_most() {
    for name in ["FETCH_TIMEOUT", "FORWARD_TIMEOUT"] {
        assert_eq!(faults(&[(name, "1h")]), [""; 0], "{name}");
        assert_eq!(faults(&[(name, "61m")]), [name], "{name}");
        assert_eq!(faults(&[(name, "3650d")]), [name], "{name}");
    }
}

#[test]
fn who_may_frame_the_app_is_an_origin_and_nothing_else() {
    let read = |text| read(&[("BIGCOMMERCE_APP_FRAME_ANCESTORS", text)]).unwrap().settings.frame_ancestors;
    assert_eq!(
        read("https://*.mybigcommerce.com, https://A.example:8443,"),
        ["https://*.mybigcommerce.com", "https://a.example:8443"]
    );
    assert_eq!(read("http://127.0.0.1:9000,http://localhost:*"), ["http://127.0.0.1:9000", "http://localhost:*"]);
    for origin in [
        ",",
        "*",
        "https:",
        "https://*",
        "https://*.com",
        "'self'",
        "'none'",
        "mybigcommerce.com",
        "http://store.example",
        "ftp://a.example",
        "https://a.example/",
        "https://a.example/path",
        "https://a.example?x",
        "https://a.example#x",
        "https://user@a.example",
        "https://a.example; script-src *",
        "https://a.example https://b.example",
        "https://a.example\r\nx: y",
        "https://a.*.example",
        "https://a.example:99999",
        "https://a.example:1:*",
    ] {
        let named = faults(&[("BIGCOMMERCE_APP_FRAME_ANCESTORS", origin)]);
        assert_eq!(named, ["BIGCOMMERCE_APP_FRAME_ANCESTORS"], "{origin:?}");
    }
}
