//! Opens what the relay has sealed, to check what it has stored.

use base64::{Engine, engine::general_purpose::STANDARD};
use onetribe_relay::spec::{
    ConnectionSpec,
    keyring::{Keyring, Sealed, SealingKey},
};
use sandbox::stores::CREDENTIALS_KEY;

/// The spec in a row, from its columns.
pub fn opened(hook_key: &str, key_id: i64, bytes: Vec<u8>) -> ConnectionSpec {
    let key = STANDARD.decode(CREDENTIALS_KEY).unwrap().try_into().unwrap();
    Keyring::new([SealingKey::new(key)]).open(hook_key, &Sealed { key_id, bytes }).unwrap()
}
