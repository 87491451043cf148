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
    // The values of a configuration may be secrets: `Debug` shows the same whatever they are.
    let mut masked: serde_json::Value = serde_json::from_slice(body).expect("what was parsed is JSON");
    if let Some(configuration) = masked.get_mut("configuration").and_then(serde_json::Value::as_object_mut) {
        configuration.values_mut().for_each(|value| *value = "masked".into());
    }
    let masked = InstanceRequest::parse(masked.to_string().as_bytes(), None).expect("the values are not parsed yet");
    assert_eq!(format!("{request:?}"), format!("{masked:?}"), "Debug shows a value");
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
