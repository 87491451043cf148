//! What the single-click app exchanges with BigCommerce: a code for a token, and the signed payloads of the app's
//! callbacks; also the tokens of its forms and the texts of its pages. No routes, no database.

pub mod form_token;
pub mod oauth;
pub mod payload;
pub mod texts;

/// The store hash in `stores/{hash}`. Letters and digits only, since the hash becomes part of paths.
pub fn store_of_context(context: &str) -> Option<&str> {
    context.strip_prefix("stores/").filter(|hash| is_store_hash(hash))
}

/// Whether a text can be a store hash: 1 to 64 letters and digits.
pub fn is_store_hash(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_name_one_store_and_nothing_else() {
        assert_eq!(store_of_context("stores/g5cd38"), Some("g5cd38"));
        let long = format!("stores/{}", "a".repeat(65));
        for context in [
            "",
            "stores/",
            "g5cd38",
            "stores/a/b",
            "stores/../x",
            "stores/a%2Fb",
            " stores/a",
            "stores/ä",
            "Stores/a",
            &long,
        ] {
            assert_eq!(store_of_context(context), None, "{context}");
        }
    }
}
