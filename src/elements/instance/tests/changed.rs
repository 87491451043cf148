//! Changes through PUT and PATCH.

use super::*;

#[test]
fn masked_values_sent_back_are_unchanged() {
    let old = create(&polling(json!({ "event.notification.signature.key": "a key" }))).expect("an instance").spec;
    let shown = view(&old, None);
    let mut body = json!({
        "name": "new", "tags": ["<i>a</i>"], "configuration": shown["configuration"], "element": shown["element"]
    });
    let draft = put(&old, &body).expect("an instance");
    assert!(!draft.has_new_credentials);
    assert_eq!(draft.spec.source, old.source);
    assert_eq!(callback(&draft.spec).signature_key, Some("a key".into()));
    assert_eq!(
        (draft.spec.name.as_str(), draft.spec.instance.expect("an instance").tags),
        ("new", vec!["a".to_owned()])
    );
    body["configuration"]["password"] = "another".into();
    assert!(put(&old, &body).expect("an instance").has_new_credentials);
    body["configuration"]["made.up.token"] = MASK.into();
    assert!(put(&old, &body).expect_err("nothing to restore").message.contains("made.up.token"));
}

#[test]
fn put_replaces_and_patch_merges() {
    let old = create(&polling(json!({ "event.notification.signature.key": "a key" }))).expect("an instance").spec;
    let named = put(&old, &json!({ "name": "new" })).expect("an instance").spec;
    assert_eq!((&named.resources, &named.destination), (&old.resources, &old.destination));
    // Credentials that are not mentioned stay; everything else is replaced.
    let body = json!({ "configuration":
        { "event.notification.enabled": true, "event.notification.callback.url": "https://x.example" } });
    let replaced = put(&old, &body).expect("an instance");
    assert_eq!(callback(&replaced.spec).signature_key, None);
    assert!(!replaced.has_new_credentials);
    let merged = patch(&old, &json!({ "configuration": { "event.notification.callback.url": "https://y.example" } }));
    let merged = merged.expect("an instance").spec;
    assert_eq!(callback(&merged).url.expose(), "https://y.example/");
    assert_eq!(callback(&merged).signature_key, Some("a key".into()));
    let removed = patch(&old, &json!({ "configuration": { "event.notification.signature.key": null } }));
    assert_eq!(callback(&removed.expect("an instance").spec).signature_key, None);
    let off = patch(&old, &json!({ "configuration": { "event.notification.enabled": "false" } })).expect("an instance");
    assert!(off.spec.destination.is_none() && off.spec.resources.is_empty());
    for (body, named) in [
        (json!({ "element": { "id": 2881 } }), "element"),
        (json!({ "configuration": { "store.url": "https://other.example/api/v2" } }), "store.url"),
        (json!({ "configuration": { "oauth.user.token": "t" } }), "oauth.user.token"),
        (json!({ "configuration": { "password": "" } }), "password"),
    ] {
        let error = patch(&old, &body).expect_err(named);
        assert!(error.status == 400 && error.message.contains(named), "{error:?}");
    }
}
