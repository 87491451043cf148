//! Proves that a form was sent from a page that the relay has shown to this user of this store: by a token in the
//! form, valid for an hour, and by the headers in which the browser says where the post comes from. No cookie is
//! needed.

use std::time::Duration;

use url::Url;

use crate::{
    clock::Timestamp,
    secret::{Secret, same_secret},
    signature::derive_token,
};

/// How long a token is valid.
pub const VALID_FOR: Duration = Duration::from_secs(3600);

/// A replica whose clock is a little ahead issues tokens that seem to be valid for longer.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Issues and verifies tokens under a key derived from the app's client secret, so that all replicas agree and
/// nothing has to be stored.
#[derive(Debug, Clone)]
pub struct FormTokens {
    key: Secret,
}

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormTokenError {
    /// The token is genuine, but older than an hour.
    #[error("the form's token has expired")]
    Expired,
    /// The token is missing, or was issued for another store, user or app.
    #[error("the form's token is not right")]
    Wrong,
}

impl FormTokens {
    /// For the app with this client secret.
    pub fn new(client_secret: &Secret) -> Self {
        Self { key: derive_token(client_secret, "app form key", "") }
    }

    /// A token for the forms of one page: letters, digits, `-`, `_` and a dot.
    pub fn issue(&self, store_hash: &str, user_id: i64, now: Timestamp) -> String {
        let until = now.after(VALID_FOR).millis().div_euclid(1000);
        format!("{until}.{}", self.mac(store_hash, user_id, until).expose())
    }

    /// Verifies a token for the store and user that the form names.
    ///
    /// # Errors
    /// [`FormTokenError::Wrong`] unless it was issued for exactly these, then [`FormTokenError::Expired`].
    pub fn verify(&self, token: &str, store_hash: &str, user_id: i64, now: Timestamp) -> Result<(), FormTokenError> {
        let (until, mac) = token.split_once('.').ok_or(FormTokenError::Wrong)?;
        let until = until.parse().map_err(|_| FormTokenError::Wrong)?;
        if !same_secret(mac, self.mac(store_hash, user_id, until).expose()) {
            return Err(FormTokenError::Wrong);
        }
        let until = Timestamp::from_seconds(until);
        let is_current = now < until && until <= now.after(VALID_FOR + CLOCK_TOLERANCE);
        if is_current { Ok(()) } else { Err(FormTokenError::Expired) }
    }

    fn mac(&self, store_hash: &str, user_id: i64, until: i64) -> Secret {
        // Without line breaks in the hash, no two subjects can look alike.
        let store_hash = store_hash.replace('\n', " ");
        derive_token(&self.key, "app form", &format!("{store_hash}\n{user_id}\n{until}"))
    }
}

/// Whether a post comes from one of the relay's own pages, according to the browser.
///
/// `Sec-Fetch-Site`, which no page can set, is trusted if present: `same-origin` is required, whatever `Origin` says
/// (it is `null` under `Referrer-Policy: no-referrer`). Without it (older browsers, plain `http`), `Origin` must be
/// missing, `null`, or one of `own` (the public address and the one the request was sent to).
pub fn is_same_site_post(sec_fetch_site: Option<&str>, origin: Option<&str>, own: &[Url]) -> bool {
    match (sec_fetch_site, origin) {
        (Some(site), _) => site == "same-origin",
        (None, None | Some("null")) => true,
        (None, Some(origin)) => Url::parse(origin)
            .is_ok_and(|origin| origin.origin().is_tuple() && own.iter().any(|own| own.origin() == origin.origin())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn tokens() -> FormTokens {
        FormTokens::new(&"the-apps-client-secret".into())
    }

    #[test]
    fn a_token_is_good_for_its_store_and_user_and_an_hour() {
        let token = tokens().issue("abcde", 7, NOW);
        let verify =
            |store, user, seconds| tokens().verify(&token, store, user, NOW.after(Duration::from_secs(seconds)));
        assert_eq!(verify("abcde", 7, 0), Ok(()));
        assert_eq!(verify("abcde", 7, 3599), Ok(()));
        assert_eq!(verify("abcde", 7, 3600), Err(FormTokenError::Expired));
        assert_eq!(verify("abcdf", 7, 0), Err(FormTokenError::Wrong));
        assert_eq!(verify("abcde", 8, 0), Err(FormTokenError::Wrong));
        let other_app = FormTokens::new(&"another-client-secret".into());
        assert_eq!(other_app.verify(&token, "abcde", 7, NOW), Err(FormTokenError::Wrong));
        // A clock that is a little behind the issuer's, and one that is too far behind.
        assert_eq!(tokens().verify(&token, "abcde", 7, NOW.before(Duration::from_secs(60))), Ok(()));
        let early = tokens().verify(&token, "abcde", 7, NOW.before(Duration::from_secs(61)));
        assert_eq!(early, Err(FormTokenError::Expired));
    }

    #[test]
    fn nothing_can_be_shifted_or_lengthened() {
        let token = tokens().issue("abcde", 7, NOW);
        let (until, mac) = token.split_once('.').expect("two parts");
        let later: i64 = until.parse::<i64>().expect("seconds") + 1;
        for forged in [
            "".to_owned(),
            ".".to_owned(),
            mac.to_owned(),
            format!("{later}.{mac}"),
            format!("{until}."),
            format!("{until}.{mac}="),
            format!("{until}.{mac}.{mac}"),
            format!("9223372036854775808.{mac}"),
        ] {
            assert_eq!(tokens().verify(&forged, "abcde", 7, NOW), Err(FormTokenError::Wrong), "{forged}");
        }
        let shifted = tokens().issue("abcde\n7", 7, NOW);
        assert_eq!(tokens().verify(&shifted, "abcde", 77, NOW), Err(FormTokenError::Wrong));
        assert!(!format!("{:?}", tokens()).contains(tokens().key.expose()));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')));
    }

    #[test]
    fn a_post_from_another_site_is_told_apart() {
        let own = [Url::parse("https://relay.example/below").expect("a URL")];
        for (site, origin, same) in [
            (Some("same-origin"), Some("null"), true),
            (Some("same-origin"), None, true),
            (Some("same-origin"), Some("https://relay.example"), true),
            (Some("cross-site"), Some("null"), false),
            (Some("cross-site"), Some("https://relay.example"), false),
            (Some("same-site"), None, false),
            (Some("none"), None, false),
            (Some(""), None, false),
            (Some("SAME-ORIGIN"), None, false),
            (None, None, true),
            (None, Some("null"), true),
            (None, Some("https://relay.example"), true),
            (None, Some("https://relay.example:443"), true),
            (None, Some("http://relay.example"), false),
            (None, Some("https://relay.example.evil.test"), false),
            (None, Some("https://evil.test"), false),
            (None, Some("file://"), false),
            (None, Some(""), false),
        ] {
            assert_eq!(is_same_site_post(site, origin, &own), same, "{site:?} {origin:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused(token in ".{0,120}", store in "[a-z0-9]{1,8}", user in any::<i64>()) {
            prop_assert!(tokens().verify(&token, &store, user, NOW).is_err());
        }
    }
}
