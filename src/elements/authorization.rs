//! The `Authorization` header of the Cloud Elements API, and `Element` tokens. Pure.
//!
//! Source: Cloud Elements, "Organization secret and user secret". Secrets there look like base64: they may hold `=`,
//! `/` and `+`, never a comma or a blank.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use crate::secret::{Secret, same_secret};

/// Longer headers are refused.
const MAX_HEADER: usize = 4096;

/// The parts of a header, which may come in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authorization {
    /// The user's secret, after `User`.
    pub user: Option<Secret>,
    /// The organisation's secret, after `Organization`.
    pub organization: Option<Secret>,
    /// The token after `Element`, which names the instance.
    pub element: Option<Secret>,
}

impl Authorization {
    /// Reads a header: parts separated by commas, each a word, a space and a secret. `None` for anything else,
    /// including a part given twice.
    pub fn parse(header: &str) -> Option<Self> {
        if header.len() > MAX_HEADER {
            return None;
        }
        let mut authorization = Self::default();
        for part in header.split(',') {
            let (word, secret) = part.trim().split_once([' ', '\t'])?;
            let slot = match word.to_ascii_lowercase().as_str() {
                "user" => &mut authorization.user,
                "organization" => &mut authorization.organization,
                "element" => &mut authorization.element,
                _ => return None,
            };
            let secret = secret.trim();
            if secret.is_empty() || slot.replace(secret.into()).is_some() {
                return None;
            }
        }
        Some(authorization)
    }

    /// Checks the secrets in constant time: the user's must be right, and the organisation's too, unless there is an
    /// `Element` token and no `Organization` part. Returns the token, which is still to be looked up.
    ///
    /// # Errors
    /// 401 if a secret is missing or wrong.
    pub fn check(&self, user: &Secret, organization: &Secret) -> Result<Option<&Secret>, ApiError> {
        let fits = |given: &Option<Secret>, expected: &Secret| {
            given.as_ref().map(|given| same_secret(given.expose(), expected.expose()))
        };
        let is_user = fits(&self.user, user).unwrap_or(false);
        let is_organization = fits(&self.organization, organization).unwrap_or(self.element.is_some());
        if is_user & is_organization { Ok(self.element.as_ref()) } else { Err(ApiError::unauthorized()) }
    }
}

/// A new `Element` token: 256 random bits in base64, the vendor's format.
pub fn new_token() -> Secret {
    STANDARD.encode(rand::random::<[u8; 32]>()).into()
}

/// The digest that a token is stored and looked up by.
pub fn token_digest(token: &Secret) -> Vec<u8> {
    Sha256::digest(token.expose().as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_read_in_any_order_and_case() {
        let (user, organization) = (Secret::from("us+/er=="), Secret::from("org="));
        for (header, token) in [
            ("User us+/er==, Organization org=", Some(None)),
            ("organization org= ,user us+/er==", Some(None)),
            ("User us+/er==, Organization org=, Element to/ken=", Some(Some("to/ken="))),
            ("User us+/er==,Element to/ken=", Some(Some("to/ken="))),
            ("User us+/er==", None),
            ("Organization org=, Element t", None),
            ("User us+/er==, Organization wrong, Element t", None),
            ("User wrong, Organization org=", None),
            ("User us+/er==, User us+/er==, Organization org=", None),
            ("User , Organization org=", None),
            ("Bearer x", None),
            ("", None),
            (",", None),
        ] {
            let authorization = Authorization::parse(header).unwrap_or_default();
            let found = authorization.check(&user, &organization).ok();
            assert_eq!(found.map(|token| token.map(Secret::expose)), token, "{header}");
        }
    }

    #[test]
    fn tokens_differ_and_only_their_digests_are_kept() {
        let (one, other) = (new_token(), new_token());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(token_digest(&one), token_digest(&one.expose().into()));
        assert_ne!(token_digest(&one), token_digest(&other));
        assert!(!one.expose().contains([',', ' ']));
    }

    proptest! {
        #[test]
        fn no_header_panics_or_passes(header in "\\PC{0,60}|(User|Element|Organization|,| |x){0,12}") {
            let authorization = Authorization::parse(&header).unwrap_or_default();
            prop_assert!(authorization.check(&"user".into(), &"organization".into()).is_err());
        }
    }
}
