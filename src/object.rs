//! What the relay moves: objects, with their ids, kinds of change and digests. Pure.

use std::{cmp::Ordering, fmt, str::FromStr, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;

/// The number of a connection (one source and its destination). Positive, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub i64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ConnectionId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match text.parse() {
            Ok(id @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Self(id)),
            _ => Err(NotAnId),
        }
    }
}

/// The name of one resource of a connection, such as `orders`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceName(Arc<str>);

impl ResourceName {
    /// The resource that every store has.
    pub fn orders() -> Self {
        static ORDERS: std::sync::LazyLock<ResourceName> = std::sync::LazyLock::new(|| ResourceName("orders".into()));
        ORDERS.clone()
    }

    /// `None` unless the text has 1 to 128 printable characters.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
        fits.then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object's id within its resource: a positive number up to 2⁶³−1 in its usual spelling, or any other text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ObjectId {
    /// A positive number.
    Number(i64),
    /// Any other text.
    Text(Arc<str>),
}

/// The text cannot be an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a positive whole number")]
pub struct NotAnId;

/// Longest id, in bytes.
const MAX_ID: usize = 255;

impl ObjectId {
    /// The id with this number; `None` unless it is positive.
    pub fn from_number(id: i64) -> Option<Self> {
        (id > 0).then_some(Self::Number(id))
    }

    /// The id with this text; a positive number in its usual spelling becomes a number. `None` if the text is empty,
    /// too long or unprintable.
    pub fn from_text(text: &str) -> Option<Self> {
        let canonical = !text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if canonical && let Ok(number) = text.parse() {
            return Some(Self::Number(number));
        }
        let fits = !text.is_empty() && text.len() <= MAX_ID && !text.chars().any(char::is_control);
        fits.then(|| Self::Text(text.into()))
    }

    /// The id in a JSON number or string.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(id) => Self::from_number(id),
                None => Self::from_text(&number.to_string()),
            },
            serde_json::Value::String(text) => Self::from_text(text),
            _ => None,
        }
    }

    /// The number, if the id is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    /// A text that sorts byte by byte as ids do (numbers by value, then texts): `c218` is 218, `~abc` is `abc`.
    pub fn sort_key(&self) -> String {
        match self {
            Self::Number(number) => {
                let digits = number.to_string();
                // From `a` for one digit to `s` for nineteen.
                let length = b'a' + u8::try_from(digits.len()).unwrap_or(1) - 1;
                format!("{}{digits}", char::from(length))
            }
            Self::Text(text) => format!("~{text}"),
        }
    }

    /// The id with this [`ObjectId::sort_key`].
    pub fn from_sort_key(key: &str) -> Option<Self> {
        match key.strip_prefix('~') {
            Some(text) => Some(Self::Text(text.into())),
            None => key.get(1..)?.parse().ok().and_then(Self::from_number),
        }
    }
}

impl Ord for ObjectId {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for ObjectId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl FromStr for ObjectId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Self::from_text(text).ok_or(NotAnId)
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::from_json(&value).ok_or_else(|| de::Error::custom(NotAnId))
    }
}

/// Identifies an object across all connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The connection it belongs to.
    pub connection: ConnectionId,
    /// Its resource.
    pub resource: ResourceName,
    /// Its id at the store.
    pub id: ObjectId,
}

/// The kind of change that an event announces, or that waits to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChangeKind {
    /// The object was changed, or the kind of change is unknown.
    Updated,
    /// The object is new.
    Created,
    /// The object was deleted or archived.
    Deleted,
}

impl ChangeKind {
    /// What waits after one more change: created + updated = created; anything + deleted = deleted; an event after a
    /// deletion means that the object is back.
    pub fn merged(self, next: Self) -> Self {
        match (self, next) {
            (Self::Created, Self::Updated) => Self::Created,
            (_, next) => next,
        }
    }

    /// The number that the database stores.
    pub fn code(self) -> i16 {
        match self {
            Self::Updated => 0,
            Self::Created => 1,
            Self::Deleted => 2,
        }
    }

    /// The kind with this number; an unknown number is an update.
    pub fn from_code(code: i16) -> Self {
        match code {
            1 => Self::Created,
            2 => Self::Deleted,
            _ => Self::Updated,
        }
    }
}

/// A digest that distinguishes the snapshots of an object, whatever the white space between JSON tokens, and whether or
/// not characters are escaped that need not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// The digest of an object's bytes. A list and a single answer may write the same object differently.
    pub fn of(body: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        let (mut in_text, mut from, mut at) = (false, 0, 0);
        while let Some(byte) = body.get(at) {
            let mut length = 1;
            match byte {
                b'\\' if in_text => match unescaped(&body[at..]) {
                    Some((plain, escape)) => {
                        hasher.update(&body[from..at]);
                        hasher.update(plain.encode_utf8(&mut [0; 4]));
                        length = escape;
                        from = at + length;
                    }
                    None => length = 2,
                },
                b'"' => in_text = !in_text,
                b' ' | b'\n' | b'\r' | b'\t' if !in_text => {
                    hasher.update(&body[from..at]);
                    from = at + 1;
                }
                _ => {}
            }
            at += length;
        }
        hasher.update(&body[from..]);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        Self(digest)
    }

    /// The key by which the destination can recognise a repeated snapshot of an object. `store` is the store's own
    /// name (a BigCommerce hash, a shop's address).
    pub fn idempotency_key(self, store: &str, id: &ObjectId) -> String {
        format!("{store}-{id}-{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The character that the escape at the beginning of `text` stands for, and the length of the escape. `None` if the
/// character has to be escaped (RFC 8259, section 7), or if the escape stands for no character.
fn unescaped(text: &[u8]) -> Option<(char, usize)> {
    if text.starts_with(b"\\/") {
        return Some(('/', 2));
    }
    let unit = |at: usize| {
        let digits = std::str::from_utf8(text.get(at..at + 6)?.strip_prefix(b"\\u")?).ok()?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(0)?;
    let (plain, length) = match char::from_u32(first.into()) {
        Some(plain) => (plain, 6),
        None => (char::decode_utf16([first, unit(6)?]).next()?.ok()?, 12),
    };
    (plain >= ' ' && !matches!(plain, '"' | '\\')).then_some((plain, length))
}

/// One object, byte for byte as the store sent it.
#[derive(Clone)]
pub struct Snapshot {
    /// Its id, read from the bytes.
    pub id: ObjectId,
    /// Its status in the store's own terms (`11`, `processing`), if it has one.
    pub status: Option<String>,
    /// When the store made it, if it says so.
    pub created: Option<Timestamp>,
    /// When the store last changed it, if it says so.
    pub modified: Option<Timestamp>,
    /// Whether the row says that the object was deleted or archived.
    pub is_deleted: bool,
    /// The bytes as they came. They contain personal data: never logged, never stored.
    pub body: Bytes,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("id", &self.id).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// An object that may be claimed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its resource.
    pub resource: ResourceName,
    /// Its id at the store.
    pub id: ObjectId,
    /// Since when it has been due.
    pub at: Timestamp,
    /// Whether it has failed before, for whatever reason: objects never tried go first.
    pub has_failed: bool,
    /// The kind of change that waits.
    pub change: ChangeKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_sort_as_ids_do_and_are_read_back() {
        let mut ids: Vec<ObjectId> = [1, 9, 10, 99, 100, 218, i64::MAX].into_iter().map(ObjectId::Number).collect();
        ids.extend(["007", "A", "a", "ß"].map(|text| ObjectId::from_text(text).expect("an id")));
        let keys: Vec<String> = ids.iter().map(ObjectId::sort_key).collect();
        assert!(keys.is_sorted() && ids.is_sorted(), "{keys:?}");
        for (id, key) in ids.iter().zip(&keys) {
            assert_eq!(ObjectId::from_sort_key(key).as_ref(), Some(id));
        }
    }

    #[test]
    fn a_number_is_one_id_however_it_comes() {
        assert_eq!(ObjectId::from_text("218"), Some(ObjectId::Number(218)));
        assert_eq!(ObjectId::from_text("0218"), Some(ObjectId::Text("0218".into())));
        assert_eq!(ObjectId::from_text("9223372036854775808"), Some(ObjectId::Text("9223372036854775808".into())));
        for nothing in ["", "a\nb"] {
            assert_eq!(ObjectId::from_text(nothing), None);
        }
        assert_eq!(ObjectId::from_number(0), None);
    }

    #[test]
    fn kinds_of_change_merge() {
        use ChangeKind::{Created, Deleted, Updated};
        for (first, second, merged) in [
            (Created, Updated, Created),
            (Updated, Updated, Updated),
            (Created, Deleted, Deleted),
            (Updated, Deleted, Deleted),
            (Deleted, Updated, Updated),
            (Deleted, Created, Created),
            (Updated, Created, Created),
        ] {
            assert_eq!(first.merged(second), merged, "{first:?} {second:?}");
        }
    }
}
