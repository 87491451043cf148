//! A text that is never shown: not in `Debug`, not in errors. It is read through [`Secret::expose`] only, or sealed.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

/// A credential, or a URL that holds one. Wiped from memory when dropped.
///
/// Serialises as plain text, to be sealed (see `spec::keyring`). No type that leaves the relay unsealed may contain
/// one.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same_secret(self.expose(), other.expose())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Into::into)
    }
}

/// Compares two secrets in constant time, whatever their lengths.
pub fn same_secret(a: &str, b: &str) -> bool {
    let mac = |text: &str| {
        Hmac::<Sha256>::new_from_slice(b"compare").expect("HMAC takes keys of any length").chain_update(text)
    };
    // Both are hashed under one key, so the time taken reveals neither content nor length.
    let digest = mac(a).finalize().into_bytes();
    mac(b).verify_slice(&digest).is_ok()
}
