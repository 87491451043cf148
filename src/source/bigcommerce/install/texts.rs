//! Every sentence of the app's own pages, by language. Another language is another [`Texts`] and its line in
//! `LANGUAGES`. Messages say what happened, what follows from it, and what to do.

mod english;

use super::{form_token::FormTokenError, oauth::ExchangeError, payload::PayloadError};
use crate::{
    http::Failure,
    spec::payload_url::{OneTribeHosts, PayloadUrlProblem},
};

/// The languages there are, by the first part of a BCP 47 tag. The first one stands in for all others.
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
    /// A few words.
    pub title: &'static str,
    /// What happened and what follows from it.
    pub what: &'static str,
    /// What the reader can do.
    pub cure: &'static str,
}

/// One language's texts.
#[derive(Debug)]
pub struct Texts {
    /// For the page's `lang`.
    pub language: &'static str,
    /// The app's name, as the heading of each page.
    pub app_name: &'static str,
    /// Pages instead of an install.
    pub install: InstallTexts,
    /// Pages instead of the app's.
    pub load: LoadTexts,
    /// What is said of a payload URL that cannot be taken.
    pub payload_url: PayloadUrlTexts,
    /// What is said of a form that cannot be taken.
    pub form: FormTexts,
    /// The app's page.
    pub page: PageTexts,
}

/// Pages instead of an install.
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
    /// The relay could not keep the connection.
    pub not_kept: Message,
}

/// Pages instead of the app's.
#[derive(Debug)]
pub struct LoadTexts {
    /// The payload is forged, meant for another app, or no payload.
    pub not_genuine: Message,
    /// The payload was genuine, a day ago.
    pub expired: Message,
    /// The payload is not valid yet: one of the clocks is wrong.
    pub not_yet_valid: Message,
    /// No connection of this store is known, or it has been uninstalled.
    pub install_again: Message,
}

/// What is said of a payload URL that cannot be taken; each is a whole sentence or two.
#[derive(Debug)]
pub struct PayloadUrlTexts {
    /// See [`PayloadUrlProblem::Empty`]; the others likewise.
    pub empty: &'static str,
    /// Too long.
    pub too_long: &'static str,
    /// No URL.
    pub not_a_url: &'static str,
    /// Not https.
    pub not_https: &'static str,
    /// User or password before the host.
    pub user_info: &'static str,
    /// A `#` part.
    pub fragment: &'static str,
    /// A private address.
    pub private_address: &'static str,
    /// Not a host of One Tribe's; given the hosts that are.
    pub foreign_host: fn(hosts: &str) -> String,
    /// A host alone.
    pub no_path: &'static str,
}

/// What is said of a form that cannot be taken.
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
    /// The relay could not keep what the form says.
    pub not_saved: Message,
}

/// The app's page.
#[derive(Debug)]
pub struct PageTexts {
    /// Above everything while there is no payload URL.
    pub welcome: &'static str,
    /// What the payload URL is and where it is found.
    pub payload_url_help: &'static str,
    /// The field's label.
    pub payload_url_label: &'static str,
    /// The button that saves a first payload URL.
    pub connect: &'static str,
    /// Said once it is saved.
    pub payload_url_saved: &'static str,
    /// The button that saves another one.
    pub save: &'static str,
    /// Where another one can be given.
    pub change_payload_url: &'static str,
    /// Orders are being forwarded.
    pub connected: &'static str,
    /// The merchant has paused it.
    pub paused: &'static str,
    /// Said with a pause.
    pub paused_help: &'static str,
    /// The access token no longer works.
    pub reconnect: Message,
    /// Runs the checks.
    pub check: &'static str,
    /// Registers or mends the hooks.
    pub update: &'static str,
    /// Pauses.
    pub pause: &'static str,
    /// Ends a pause.
    pub resume: &'static str,
    /// The heading of the recent orders.
    pub recent_orders: &'static str,
    /// No order yet.
    pub no_orders_yet: &'static str,
    /// How many orders were forwarded.
    pub forwarded: fn(orders: u64) -> String,
    /// How many orders wait.
    pub waiting: fn(orders: u64) -> String,
    /// How many orders failed.
    pub failed: fn(orders: u64) -> String,
    /// The heading of the backfill.
    pub backfill: &'static str,
    /// What the backfill is.
    pub backfill_help: &'static str,
    /// The label of its date.
    pub backfill_since: &'static str,
    /// Counts only.
    pub backfill_count: &'static str,
    /// How many orders a backfill would forward.
    pub backfill_counted: fn(orders: u64) -> String,
    /// Does it.
    pub backfill_start: &'static str,
    /// Said once it has begun.
    pub backfill_started: &'static str,
    /// The merchant wants no past orders.
    pub backfill_declined: &'static str,
    /// Said while it goes on: how many orders it has found so far.
    pub backfill_running: fn(orders: u64) -> String,
    /// Said if there are too many to count while somebody waits.
    pub backfill_at_least: fn(orders: u64) -> String,
    /// Said if the store could not be read.
    pub backfill_not_counted: &'static str,
    /// Said of a date that is none, or in the future.
    pub backfill_bad_date: &'static str,
    /// Where help is to be had.
    pub support: &'static str,
}

impl Texts {
    /// The page for an install that did not come about.
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

    /// What is wrong with a payload URL, given the hosts that it may name.
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
            PayloadUrlProblem::NoPath => texts.no_path,
        };
        text.to_owned()
    }

    /// The page for a payload that is not taken.
    pub fn load_problem(&self, error: PayloadError) -> Message {
        match error {
            PayloadError::Expired => self.load.expired,
            PayloadError::NotYetValid => self.load.not_yet_valid,
            _ => self.load.not_genuine,
        }
    }

    /// The page for a form whose token is not taken.
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
            assert_eq!(texts(locale).language, "en", "{locale}");
        }
    }

    #[test]
    fn counts_read_like_english() {
        let page = &texts("en").page;
        assert_eq!((page.forwarded)(1), "1 order forwarded");
        assert_eq!((page.waiting)(1_250), "1,250 orders waiting");
        assert_eq!((page.failed)(0), "No order failed");
        assert_eq!((page.backfill_counted)(1), "1 order would be forwarded.");
    }

    #[test]
    fn hosts_are_named_where_another_was_typed() {
        let said = texts("").payload_url_problem(PayloadUrlProblem::ForeignHost, &OneTribeHosts::default());
        assert!(said.contains("onetribeglobal.com, *.onetribeglobal.com"), "{said}");
    }
}
