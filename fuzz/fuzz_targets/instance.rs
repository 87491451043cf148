//! Any body as an instance of the Cloud Elements API: never a panic. What is accepted can be stored and read back, is
//! shown without its secrets, and does not change when a client sends back what it was shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    clock::Timestamp,
    elements::{
        change::Poller,
        instance::{
            InstanceRequest, MASK, Surroundings,
            show::{InstanceView, is_secret},
        },
        values,
    },
    http::AddressPolicy,
    object::ConnectionId,
    spec::ConnectionSpec,
};

fuzz_target!(|body: &[u8]| {
    let Ok(request) = InstanceRequest::parse(body, None) else { return };
    // The secrets in the seeds contain this text; a key of that name is no secret.
    let whole: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let is_key = |key: &String| key.contains("s3cret");
    let is_named = whole["configuration"].as_object().is_some_and(|all| all.keys().any(is_key));
    assert!(is_named || !format!("{request:?}").contains("s3cret"), "Debug shows a secret");
    let api_url = "https://api.bigcommerce.com".parse().expect("a URL");
    let policy = AddressPolicy::new(Vec::new());
    let surroundings = Surroundings { api_url: &api_url, policy: &policy };
    let has_code = request.provider_data.is_some();
    let Ok(draft) = request.create(surroundings) else { return };
    let spec = draft.spec;
    for resource in &spec.resources {
        Poller::new(spec.source.kind(), resource).expect("a resource that was accepted");
    }
    let kept = serde_json::to_vec(&spec).expect("a spec can be kept");
    assert!(serde_json::from_slice::<ConnectionSpec>(&kept).is_ok_and(|read| read == spec), "kept and read otherwise");

    let view = InstanceView {
        id: ConnectionId(7),
        spec: &spec,
        created_at: Timestamp::from_seconds(1_502_131_598),
        is_disabled: false,
        is_valid: true,
        token: None,
        is_hydrated: true,
    };
    let shown = view.json();
    for (key, value) in shown["configuration"].as_object().expect("an object") {
        assert!(!is_secret(key) || values::is_blank(value) || value == MASK, "{key} is shown");
    }
    if has_code {
        return;
    }
    let shown = shown.to_string();
    let again = InstanceRequest::parse(shown.as_bytes(), None).expect("what was shown is read");
    let again = again.replace(&spec, surroundings).expect("what was shown is taken");
    assert!(again.spec == spec && !again.has_new_credentials, "sending back what was shown changes something");
});
