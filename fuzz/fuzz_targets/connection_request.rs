//! Any body of `POST /connections`, and of `PATCH` on what was made: never a panic, no refusal or `Debug` shows a value,
//! and what is accepted can be stored and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    connection::request::{ConnectionChange, ConnectionRequest, RequestRules},
    http::AddressPolicy,
    spec::ConnectionSpec,
};
use serde_json::Value;

/// Stands for every text that is as long as a secret.
const SECRET: &str = "a-secret-of-34-letters-and-figures";

/// Replaces every text that may be a secret, by the name of its field.
fn planted(value: &mut Value) {
    match value {
        Value::String(text) if text.len() >= 24 => *text = SECRET.to_owned(),
        Value::Array(all) => all.iter_mut().for_each(planted),
        Value::Object(all) => {
            let may_be_secret = |name: &str| !["name", "url", "skip_order_statuses"].contains(&name);
            all.iter_mut().filter(|(name, _)| may_be_secret(name)).for_each(|(_, value)| planted(value));
        }
        _ => {}
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.iter().any(has_null),
        Value::Object(all) => all.values().any(has_null),
        _ => false,
    }
}

fn is_kept(spec: &ConnectionSpec) {
    let kept = serde_json::to_vec(spec).expect("a spec can be kept");
    assert!(serde_json::from_slice::<ConnectionSpec>(&kept).is_ok_and(|read| read == *spec), "kept and read otherwise");
    assert!(!format!("{spec:?}").contains(SECRET), "Debug shows a secret");
}

fuzz_target!(|body: &[u8]| {
    let rules = RequestRules {
        policy: AddressPolicy::new(Vec::new()),
        one_tribe_hosts: Default::default(),
        scopes: vec!["store/order/*".to_owned()],
    };
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        assert!(ConnectionRequest::from_json(body, &rules).is_err());
        return;
    };
    // The fuzzer learns what it is compared with, and names fields so.
    if value.to_string().contains(SECRET) {
        return;
    }
    planted(&mut value);
    let request = match ConnectionRequest::from_value(&value, &rules) {
        Ok(request) => request,
        Err(problem) => {
            assert!(!problem.to_string().contains(SECRET), "a refusal shows a secret");
            return;
        }
    };
    is_kept(&request.spec);
    let change = ConnectionChange::from_json(value.to_string().as_bytes(), &request.spec, &rules);
    match change {
        Ok(change) => assert_eq!(change.spec, request.spec, "a change to the same changes something"),
        // A new connection takes `null` for what was not given.
        Err(problem) => assert!(has_null(&value), "{problem}"),
    }
});
