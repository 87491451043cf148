//! The texts of the app's own pages, by language. A new language is another [`Texts`] and an entry in `LANGUAGES`.
//! Messages say what happened, what follows from it, and what to do.

mod english;

use super::{form_token::FormTokenError, oauth::ExchangeError, payload::PayloadError};
use crate::{
    http::Failure,
    spec::payload_url::{OneTribeHosts, PayloadUrlProblem},
};

/// The available languages, by the first part of a BCP 47 tag. The first is the default.
const LANGUAGES: [(&str, &Texts); 1] = [("en", &english::TEXTS)];

/// The texts for a user's `locale` (`en-US`, `pt_BR`), or the English ones.
pub fn texts(locale: &str) -> &'static Texts {
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    let known = LANGUAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(language));
    known.map_or(LANGUAGES[0].1, |(_, texts)| texts)
}

/// A heading, what happened, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The heading, a few words.
    pub title: &'static str,
    /// What happened and what follows from it.
    pub what: &'static str,
    /// What the reader can do.
    pub cure: &'static str,
}

/// All texts in one language.
#[derive(Debug)]
pub struct Texts {
    /// Pages for an install that failed.
    pub install: InstallTexts,
    /// Pages for an app that cannot be opened.
    pub load: LoadTexts,
    /// Why a payload URL is refused.
    pub payload_url: PayloadUrlTexts,
    /// Why a form is refused.
    pub form: FormTexts,
    /// The app's page.
    pub page: PageTexts,
}

/// Pages for an install that failed.
#[derive(Debug)]
pub struct InstallTexts {
    /// The code was used before, or too late.
    pub spent_code: Message,
    /// BigCommerce refuses the app itself.
    pub refused: Message,
    /// The token does not allow reading orders.
    pub missing_scope: Message,
    /// The login server cannot be reached, or fails.
    pub login_down: Message,
    /// The login server does not answer in time.
    pub login_slow: Message,
    /// The login server's answer cannot be used.
    pub bad_answer: Message,
    /// The callback lacks `code`, `scope` or `context`.
    pub incomplete_request: Message,
    /// The relay could not store the connection.
    pub not_kept: Message,
    /// The relay has no public address, so that BigCommerce was not asked.
    pub no_address: Message,
}

/// Pages for an app that cannot be opened.
#[derive(Debug)]
pub struct LoadTexts {
    /// The payload is forged, for another app, or not a payload.
    pub not_genuine: Message,
    /// The payload is genuine but has expired.
    pub expired: Message,
    /// The payload is not valid yet: one of the clocks is wrong.
    pub not_yet_valid: Message,
    /// No connection of this store is known, or it has been uninstalled.
    pub install_again: Message,
}

/// Why a payload URL is refused; each text is one or two whole sentences.
#[derive(Debug)]
pub struct PayloadUrlTexts {
    /// For [`PayloadUrlProblem::Empty`], and so on for the others.
    pub empty: &'static str,
    /// The URL is too long.
    pub too_long: &'static str,
    /// The text is not a URL.
    pub not_a_url: &'static str,
    /// The scheme is not https.
    pub not_https: &'static str,
    /// There is a user or a password before the host.
    pub user_info: &'static str,
    /// There is a fragment (`#`).
    pub fragment: &'static str,
    /// The host is a private address.
    pub private_address: &'static str,
    /// The host is not One Tribe's; takes the hosts that are.
    pub foreign_host: fn(hosts: &str) -> String,
    /// There is no path, only a host.
    pub cut_off: &'static str,
}

/// Why a form is refused.
#[derive(Debug)]
pub struct FormTexts {
    /// The page was open for too long.
    pub expired: Message,
    /// The token is wrong.
    pub wrong_token: Message,
    /// The post came from another site.
    pub other_site: Message,
    /// The store was uninstalled meanwhile.
    pub uninstalled: Message,
    /// The relay could not store what the form says.
    pub not_saved: Message,
}

/// What the app's page says of its forms.
#[derive(Debug)]
pub struct PageTexts {
    /// Shown once it is saved.
    pub payload_url_saved: &'static str,
    /// What a pause means.
    pub paused_help: &'static str,
    /// Shown once it has started.
    pub backfill_started: &'static str,
    /// The button that declines past orders.
    pub backfill_declined: &'static str,
    /// Shown while it runs: how many orders it has found so far.
    pub backfill_running: fn(orders: u64) -> String,
    /// Shown if there are too many orders to count while a person waits.
    pub backfill_at_least: fn(orders: u64) -> String,
    /// Shown if the store could not be read.
    pub backfill_not_counted: &'static str,
    /// Shown for a date that is invalid or in the future.
    pub backfill_bad_date: &'static str,
}

impl Texts {
    /// The page for a failed install.
    pub fn install_problem(&self, error: ExchangeError) -> Message {
        let texts = &self.install;
        match error {
            ExchangeError::SpentOrWrongCode => texts.spent_code,
            ExchangeError::Refused { .. } => texts.refused,
            ExchangeError::LoginDown(Failure::Timeout) => texts.login_slow,
            ExchangeError::LoginDown(_) => texts.login_down,
            ExchangeError::MissingScope => texts.missing_scope,
            ExchangeError::BadAnswer => texts.bad_answer,
        }
    }

    /// Why a payload URL is refused, given the hosts that it may use.
    pub fn payload_url_problem(&self, problem: PayloadUrlProblem, hosts: &OneTribeHosts) -> String {
        let texts = &self.payload_url;
        let text = match problem {
            PayloadUrlProblem::Empty => texts.empty,
            PayloadUrlProblem::TooLong => texts.too_long,
            PayloadUrlProblem::NotAUrl => texts.not_a_url,
            PayloadUrlProblem::NotHttps => texts.not_https,
            PayloadUrlProblem::UserInfo => texts.user_info,
            PayloadUrlProblem::Fragment => texts.fragment,
            PayloadUrlProblem::PrivateAddress => texts.private_address,
            PayloadUrlProblem::ForeignHost => return (texts.foreign_host)(&hosts.to_string()),
            PayloadUrlProblem::CutOff => texts.cut_off,
        };
        text.to_owned()
    }

    /// The page for a payload that is refused.
    pub fn load_problem(&self, error: PayloadError) -> Message {
        match error {
            PayloadError::Expired => self.load.expired,
            PayloadError::NotYetValid => self.load.not_yet_valid,
            _ => self.load.not_genuine,
        }
    }

    /// The page for a form whose token is refused.
    pub fn form_problem(&self, error: FormTokenError) -> Message {
        match error {
            FormTokenError::Expired => self.form.expired,
            FormTokenError::Wrong => self.form.wrong_token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_languages_fall_back_to_english() {
        for locale in ["en-US", "EN", "en_GB", "", "de-DE", "tlh", "-", "english"] {
            assert_eq!(texts(locale).load.install_again, english::TEXTS.load.install_again, "{locale}");
        }
    }

    #[test]
    fn counts_read_like_english() {
        let page = &texts("en").page;
        assert_eq!((page.backfill_running)(0), "Past orders are being looked for.");
        assert_eq!((page.backfill_running)(1), "Past orders are being forwarded: 1 order found so far.");
        assert!((page.backfill_at_least)(1_250).contains("at least 1,250 orders can"));
    }

    #[test]
    fn hosts_are_named_where_another_was_typed() {
        let said = texts("").payload_url_problem(PayloadUrlProblem::ForeignHost, &OneTribeHosts::default());
        assert!(said.contains("onetribeglobal.com, *.onetribeglobal.com"), "{said}");
    }
}
