//! Seals credentials, so that a copy of the database gives access to no store: XChaCha20-Poly1305 under
//! `CREDENTIALS_KEY`, bound to the row by its hook key. The credentials in the environment are never sealed or
//! stored.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox, zeroize::Zeroizing};
use sha2::{Digest, Sha256};

use crate::spec::{ConnectionSpec, DestinationSpec};

/// Bytes that only the keyring can open.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that sealed them.
    pub key_id: i64,
    /// Nonce and ciphertext.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The version of the layout: this byte, the nonce, the ciphertext with its tag.
const VERSION: u8 = 1;

/// The length of XChaCha20's nonce: long enough to be chosen at random for any number of messages.
const NONCE: usize = 24;

/// One key of `CREDENTIALS_KEY`. Wiped from memory when dropped.
pub struct SealingKey(SecretBox<[u8; 32]>);

impl SealingKey {
    /// The key with these 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// Identifies the key without revealing anything about it: 63 bits of a digest, never negative.
    pub fn id(&self) -> i64 {
        let digest =
            Sha256::new().chain_update(b"onetribe-relay key id\0").chain_update(self.0.expose_secret()).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        i64::from_be_bytes(id) & i64::MAX
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.expose_secret().into())
    }
}

impl Clone for SealingKey {
    fn clone(&self) -> Self {
        Self::new(*self.0.expose_secret())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why credentials cannot be sealed or opened. Contains nothing of them or of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is no key.
    #[error("CREDENTIALS_KEY is not set, and the credentials of connections are sealed with it")]
    NoKey,
    /// They were sealed with none of these keys.
    #[error("none of the keys in CREDENTIALS_KEY has sealed these credentials: add the key that has, after the newest")]
    UnknownKey,
    /// The right key does not open them: they were altered, or belong to another row.
    #[error("the sealed credentials are damaged, or belong to another connection")]
    Damaged,
    /// They were sealed by another version of the relay, in a format that this one does not know.
    #[error("the credentials were sealed by another version of the relay")]
    Unknown,
}

/// The keys, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: Vec<(i64, SealingKey)>,
}

impl Keyring {
    /// A keyring with the keys of `CREDENTIALS_KEY`, the newest first.
    pub fn new(keys: impl IntoIterator<Item = SealingKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.id(), key)).collect() }
    }

    /// Whether there is no key, so that nothing can be sealed or opened.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Seals a spec for the row with this hook key, under the newest key.
    ///
    /// # Errors
    /// [`KeyringError::NoKey`] without a key.
    pub fn seal(&self, hook_key: &str, spec: &ConnectionSpec) -> Result<Sealed, KeyringError> {
        let (key_id, key) = self.keys.first().ok_or(KeyringError::NoKey)?;
        let plain = Zeroizing::new(serde_json::to_vec(spec).map_err(|_| KeyringError::Unknown)?);
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: &plain, aad: &bound_to(hook_key) };
        let ciphertext = key.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyringError::Damaged)?;
        let bytes = [&[VERSION], &nonce[..], &ciphertext].concat();
        Ok(Sealed { key_id: *key_id, bytes })
    }

    /// Opens what was sealed for the row with this hook key, under any of the keys.
    ///
    /// # Errors
    /// [`KeyringError`] says why it cannot be opened.
    pub fn open(&self, hook_key: &str, sealed: &Sealed) -> Result<ConnectionSpec, KeyringError> {
        if self.is_empty() {
            return Err(KeyringError::NoKey);
        }
        let (version, rest) = sealed.bytes.split_first().ok_or(KeyringError::Damaged)?;
        if *version != VERSION {
            return Err(KeyringError::Unknown);
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>().ok_or(KeyringError::Damaged)?;
        let key = self.keys.iter().find(|(id, _)| *id == sealed.key_id).map(|(_, key)| key);
        let payload = Payload { msg: ciphertext, aad: &bound_to(hook_key) };
        let plain = key.ok_or(KeyringError::UnknownKey)?.cipher().decrypt(&XNonce::from(*nonce), payload);
        let plain = Zeroizing::new(plain.map_err(|_| KeyringError::Damaged)?);
        serde_json::from_slice(&plain).map_err(|_| KeyringError::Unknown)
    }

    /// Whether these credentials are sealed under another key than the newest.
    pub fn needs_rekey(&self, sealed: &Sealed) -> bool {
        self.keys.first().is_some_and(|(id, _)| *id != sealed.key_id)
    }
}

/// The data authenticated with the ciphertext: the layout's version, and the row it belongs to.
fn bound_to(hook_key: &str) -> Vec<u8> {
    [b"onetribe-relay connection\0".as_slice(), &[VERSION], hook_key.as_bytes()].concat()
}

/// A digest of a destination, keyed with the connection's hook key, to recognise the same destination even if its URL
/// is sealed or wiped. 16 bytes.
pub fn destination_mark(hook_key: &str, destination: &DestinationSpec) -> Vec<u8> {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(hook_key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(b"destination\0");
    mac.update(destination.kind().name().as_bytes());
    mac.update(b"\0");
    mac.update(destination.url().expose().as_bytes());
    mac.finalize().into_bytes()[..16].to_vec()
}

/// A new hook key: 192 random bits, usable in a path.
pub fn new_hook_key() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::{BigCommerceAuth, BigCommerceSpec, Origin, SourceSpec};

    fn keyring(keys: &[u8]) -> Keyring {
        Keyring::new(keys.iter().map(|byte| SealingKey::new([*byte; 32])))
    }

    fn spec(token: &str) -> ConnectionSpec {
        ConnectionSpec {
            name: "Zürich".into(),
            origin: Origin::Api,
            source: SourceSpec::BigCommerce(BigCommerceSpec {
                store_hash: "abcde".into(),
                auth: BigCommerceAuth::Token(token.into()),
                client_secrets: vec!["a-client-secret-of-a-store".into()],
                scopes: vec!["store/order/*".into()],
                is_app: false,
            }),
            destination: Some(DestinationSpec::OneTribe { url: "https://onetribeglobal.com/x/s3cret".into() }),
            skip_statuses: vec!["0".into()],
            resources: Vec::new(),
            poll_interval: None,
            has_webhooks: true,
            instance: None,
        }
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_for_the_same_row() {
        let ring = keyring(&[1]);
        let sealed = ring.seal("row", &spec("t0ken")).expect("sealed");
        assert_eq!(ring.open("row", &sealed), Ok(spec("t0ken")));
        assert_eq!(ring.open("another", &sealed), Err(KeyringError::Damaged));
        assert_eq!(ring.open("", &sealed), Err(KeyringError::Damaged));
        assert_eq!(keyring(&[2]).open("row", &sealed), Err(KeyringError::UnknownKey));
        let forced = Sealed { key_id: SealingKey::new([2; 32]).id(), bytes: sealed.bytes };
        assert_eq!(keyring(&[2]).open("row", &forced), Err(KeyringError::Damaged), "a wrong key under the right name");
    }

    #[test]
    fn without_a_key_nothing_is_sealed_or_opened() {
        assert_eq!(keyring(&[]).seal("row", &spec("x")), Err(KeyringError::NoKey));
        let sealed = keyring(&[1]).seal("row", &spec("x")).expect("sealed");
        assert_eq!(keyring(&[]).open("row", &sealed), Err(KeyringError::NoKey));
        assert!(KeyringError::NoKey.to_string().contains("CREDENTIALS_KEY"));
        assert!(KeyringError::UnknownKey.to_string().contains("CREDENTIALS_KEY"));
    }

    #[test]
    fn rotation_opens_with_any_key_and_seals_with_the_newest() {
        let old = keyring(&[1]).seal("row", &spec("x")).expect("sealed");
        let ring = keyring(&[2, 1]);
        assert_eq!(ring.open("row", &old), Ok(spec("x")));
        assert!(ring.needs_rekey(&old) && !keyring(&[1, 2]).needs_rekey(&old));
        let new = ring.seal("row", &spec("x")).expect("sealed");
        assert!(!ring.needs_rekey(&new));
        assert_eq!(keyring(&[2]).open("row", &new), Ok(spec("x")));
        assert_eq!(keyring(&[1]).open("row", &new), Err(KeyringError::UnknownKey));
    }

    #[test]
    fn the_same_spec_is_never_sealed_into_the_same_bytes() {
        let ring = keyring(&[1]);
        let sealed = || ring.seal("row", &spec("x")).expect("sealed").bytes;
        assert_ne!(sealed(), sealed());
    }

    #[test]
    fn key_ids_are_positive_distinct_and_show_nothing_of_the_key() {
        let ids: Vec<i64> = (0..=255).map(|byte| SealingKey::new([byte; 32]).id()).collect();
        assert!(ids.iter().all(|id| *id >= 0));
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 256);
        assert_eq!(format!("{:?}", SealingKey::new([7; 32])), "[secret]");
    }

    #[test]
    fn marks_are_of_one_row_and_one_destination() {
        let to = |url: &str| DestinationSpec::OneTribe { url: url.into() };
        assert_eq!(destination_mark("a", &to("https://x/1")), destination_mark("a", &to("https://x/1")));
        assert_ne!(destination_mark("a", &to("https://x/1")), destination_mark("a", &to("https://x/2")));
        assert_ne!(destination_mark("a", &to("https://x/1")), destination_mark("b", &to("https://x/1")));
        assert_eq!(destination_mark("a", &to("https://x/1")).len(), 16);
    }

    #[test]
    fn hook_keys_are_long_distinct_and_fit_for_a_path() {
        let keys: std::collections::BTreeSet<String> = (0..1000).map(|_| new_hook_key()).collect();
        assert_eq!(keys.len(), 1000);
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(keys.iter().all(|key| key.len() == 32 && key.bytes().all(fits)));
    }

    proptest! {
        #[test]
        fn no_altered_bit_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let ring = keyring(&[1]);
            let mut sealed = ring.seal("row", &spec("t0ken")).expect("sealed");
            let at = at.index(sealed.bytes.len());
            sealed.bytes[at] ^= 1 << bit;
            prop_assert!(ring.open("row", &sealed).is_err());
        }

        #[test]
        fn no_bytes_make_opening_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), known in any::<bool>()) {
            let key_id = if known { SealingKey::new([1; 32]).id() } else { 5 };
            let opened = keyring(&[1]).open("row", &Sealed { key_id, bytes });
            prop_assert!(opened.is_err());
        }

        #[test]
        fn no_secret_is_among_the_sealed_bytes(token in "[A-Za-z0-9]{20,40}") {
            let sealed = keyring(&[1]).seal("row", &spec(&token)).expect("sealed");
            prop_assert!(!sealed.bytes.windows(token.len()).any(|window| window == token.as_bytes()));
            prop_assert!(!sealed.bytes.windows(5).any(|window| window == b"abcde"));
            let shown = format!("{sealed:?}");
            prop_assert!(!shown.contains(&token));
        }
    }
}
