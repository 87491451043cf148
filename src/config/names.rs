//! Names in the environment that are most likely misspelt: nothing else would say that their values are ignored.

use std::ffi::OsString;

use super::VARIABLES;

/// What begins like this is meant for the relay.
const PREFIXES: [&str; 4] = ["BIGCOMMERCE_", "ONE_TRIBE_", "WOOCOMMERCE_", "ELEMENTS_"];
/// Of names shorter than this, others are always near: `COST` and `POST` are nothing of `HOST`'s.
const SHORTEST: usize = 8;
/// In names at least this long two slips still leave no doubt.
const LONG: usize = 12;

/// One of these is needed, whatever else is set.
const NEEDED: [&str; 5] = [
    "BIGCOMMERCE_STORE_HASH",
    "BIGCOMMERCE_ACCESS_TOKEN",
    "BIGCOMMERCE_CLIENT_SECRET",
    "ONE_TRIBE_DESTINATION",
    "CREDENTIALS_KEY",
];

/// The names that have values. An empty variable counts as unset.
fn set(vars: &[(String, OsString)]) -> impl Iterator<Item = &str> {
    let is_filled = |text: &OsString| text.to_str().is_none_or(|text| !text.trim().is_empty());
    vars.iter().filter(move |(_, text)| is_filled(text)).map(|(name, _)| name.as_str())
}

/// Every name that the relay reads.
fn known() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().flat_map(|variable| [Some(variable.name), variable.file]).flatten()
}

/// Whether anything is set without which the relay does not start.
pub fn has_any_needed(vars: &[(String, OsString)]) -> bool {
    set(vars).any(|name| NEEDED.contains(&name.strip_suffix("_FILE").unwrap_or(name)))
}

/// A sentence for each variable that is set and ignored, and was most likely meant for the relay.
pub fn misspelt(vars: &[(String, OsString)]) -> Vec<String> {
    let is_set = |name: &str| set(vars).any(|other| other == name);
    set(vars).filter(|name| known().all(|known| known != *name)).filter_map(|name| doubt(name, is_set)).collect()
}

fn doubt(name: &str, is_set: impl Fn(&str) -> bool) -> Option<String> {
    let own = name.strip_suffix("_FILE").filter(|own| known().any(|known| known == *own));
    if let Some(own) = own {
        return Some(format!(
            "{name} is ignored: {own} is no secret, and only secrets come from files; set {own} itself"
        ));
    }
    let upper = name.to_ascii_uppercase();
    let slips = |known: &str| if known.len() < LONG { 1 } else { 2 };
    let near = known()
        .filter(|known| known.len() >= SHORTEST && !is_set(known))
        .map(|known| (strsim::osa_distance(known, &upper), known))
        .filter(|(distance, known)| *distance <= slips(known))
        .min();
    if let Some((_, near)) = near {
        return Some(format!("{name} is not a variable of the relay and is ignored: did you mean {near}?"));
    }
    // Kubernetes sets `ONE_TRIBE_RELAY_SERVICE_HOST`, `ONE_TRIBE_RELAY_PORT_80_TCP` and the like for a service.
    let is_link = upper.contains("_SERVICE_") || upper.contains("_PORT");
    let is_meant = PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) && !is_link;
    is_meant.then(|| format!("{name} is not a variable of the relay and is ignored: `.env.example` lists them all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> Vec<String> {
        misspelt(&names.iter().map(|name| ((*name).to_owned(), "x".into())).collect::<Vec<_>>())
    }

    #[test]
    fn a_misspelt_name_is_told_with_the_right_one() {
        for (name, right) in [
            ("PUBLC_URL", "PUBLIC_URL"),
            ("public_url", "PUBLIC_URL"),
            ("BIGCOMERCE_SCOPES", "BIGCOMMERCE_SCOPES"),
            ("BIGCOMMERCE_STORE_HAHS", "BIGCOMMERCE_STORE_HASH"),
            ("ADMIN_TOKEN_FLE", "ADMIN_TOKEN_FILE"),
            ("ONETRIBE_DESTINATION", "ONE_TRIBE_DESTINATION"),
        ] {
            assert_eq!(
                said(&[name]),
                [format!("{name} is not a variable of the relay and is ignored: did you mean {right}?")]
            );
            let is_meant = usize::from(name.starts_with("BIGCOMMERCE_"));
            assert_eq!(said(&[name, right]).len(), is_meant, "{right} itself is set");
        }
        assert!(said(&["PORT_FILE"])[0].starts_with("PORT_FILE is ignored: PORT is no secret"));
        for name in ["BIGCOMMERCE_TOKEN", "WOOCOMMERCE_URL", "ONE_TRIBE_URL", "ELEMENTS_SECRET"] {
            assert!(said(&[name])[0].ends_with("is ignored: `.env.example` lists them all"), "{name}");
        }
    }

    #[test]
    fn others_variables_are_left_alone() {
        let names = VARIABLES.iter().flat_map(|variable| [Some(variable.name), variable.file]).flatten();
        assert_eq!(said(&names.collect::<Vec<_>>()), [""; 0]);
        for name in [
            "PATH",
            "HOME",
            "HOSTNAME",
            "POST",
            "COST",
            "SORT",
            "RUST_BACKTRACE",
            "LOG_LEVEL",
            "MIGRATE_TO",
            "SSL_CERT_FILE",
            "HTTP_PROXY",
            "PGHOST",
            "ONE_TRIBE_RELAY_SERVICE_HOST",
            "ONE_TRIBE_RELAY_PORT_80_TCP",
        ] {
            assert_eq!(said(&[name]), [""; 0]);
        }
        assert_eq!(misspelt(&[("PUBLC_URL".into(), " ".into())]), [""; 0], "an empty one counts as unset");
    }
}
