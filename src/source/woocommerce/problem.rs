//! Faults of a shop as values, each with one cure. `health` has the sentences.

use super::{
    AuthMode, Code, Refusal, Shop,
    call::smallest_read,
    root::{NAMESPACE, RestRoot},
    webhook::LATE,
};
use crate::http::Failure;

/// Why the relay cannot read a shop's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopProblem {
    /// The web server removes the `Authorization` header, and sending the keys in the query fails as well.
    HeaderStripped,
    /// WordPress does not know that it is called by `https` (a proxy ends TLS without saying so), so it ignores the
    /// keys.
    NotSeenAsHttps,
    /// The shop knows the key, but the secret is different.
    WrongSecret,
    /// The shop does not know the key: it is mistyped or revoked, or the user who made it is gone.
    UnknownKey,
    /// The key's user may no longer read orders.
    RightsMissing,
    /// A firewall, or a challenge page of the host, answers instead of the shop, with this status.
    Firewall(u16),
    /// A plugin has switched the REST API off, or requires a login for it.
    RestSwitchedOff,
    /// There is no WooCommerce API at the address: it is another site, or WooCommerce is not active.
    NoApi,
    /// The shop has moved to another address.
    Moved,
    /// Something is printed before or instead of the JSON: PHP notices, or the output of a plugin.
    SpoiltAnswers,
    /// Anything else: the shop is down, slow, or asks for a pause.
    Other(Failure),
}

/// A fault of a shop whose orders can be read nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShopWarning {
    /// The web server removes the `Authorization` header: the keys go in the query, and so into the shop's access log.
    KeysInQuery,
    /// WooCommerce has disabled this many webhooks after failed deliveries.
    DisabledHooks(usize),
    /// Webhooks come more than [`LATE`] after the change: WP-Cron does not run in time.
    LateDeliveries,
    /// The shop cannot list changes since a time (WooCommerce before 5.8): polling takes more calls.
    OldLists,
}

impl Shop {
    /// Tries to read, and finds out why that fails, with a few calls. None of them sends the secret in a way that
    /// gets logged.
    ///
    /// # Errors
    /// [`ShopProblem`] if orders cannot be read.
    pub async fn diagnose(&self) -> Result<(), ShopProblem> {
        let permit = self.take_urgent().await.map_err(|error| ShopProblem::Other(error.failure))?;
        let Err(refusal) = self.try_read(&permit).await else { return Ok(()) };
        let is_unseen = refusal.status() == Some(401) && refusal.code != Code::Authentication;
        if !is_unseen {
            return Err(problem_of(refusal));
        }
        let auth = self.state.lock().auth;
        let Ok(root) = self.root().await else { return Err(problem_of(refusal)) };
        if auth == AuthMode::QueryKeys {
            return Err(ShopProblem::HeaderStripped);
        }
        if auth == AuthMode::Basic {
            if self.knows_key_in_query(&root).await {
                self.use_query_keys();
                let around = self.call(&permit, &smallest_read()).await;
                return around.map(drop).map_err(|_| ShopProblem::HeaderStripped);
            }
            if self.takes_signature(&root, "http").await || self.takes_signature(&root, "https").await {
                return Err(ShopProblem::NotSeenAsHttps);
            }
        }
        Err(problem_of(refusal))
    }

    /// Whether a signature is accepted: this shows that the keys are right even if WordPress does not see `https`.
    /// What is signed is the shop's address as WordPress knows it, which is then often the one with `http`. The
    /// header that is sent along is ignored in this case.
    async fn takes_signature(&self, root: &RestRoot, scheme: &str) -> bool {
        let mut ask = smallest_read();
        let Ok(mut address) = root.url(&format!("{NAMESPACE}/{}", ask.route), &ask.query) else { return false };
        if address.set_scheme(scheme).is_err() {
            return false;
        }
        ask.query.extend(self.keys.sign_now(&ask.method, &address));
        self.send(root, AuthMode::Basic, &self.keys, &ask).await.is_ok()
    }

    /// The faults of a shop whose orders can be read. `has_late_deliveries` is what the connection's webhooks have
    /// shown (see [`super::webhook::ShopEvent::is_late`]).
    pub fn warnings(&self, has_late_deliveries: bool) -> Vec<ShopWarning> {
        let facts = self.facts();
        let disabled = facts.disabled_hooks.len();
        [
            (facts.auth == AuthMode::QueryKeys).then_some(ShopWarning::KeysInQuery),
            (disabled > 0).then_some(ShopWarning::DisabledHooks(disabled)),
            has_late_deliveries.then_some(ShopWarning::LateDeliveries),
            (facts.dates.filters == Some(false) || facts.dates.sorts == Some(false)).then_some(ShopWarning::OldLists),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// How long after the change a webhook counts as late.
    pub const LATE: std::time::Duration = LATE;
}

/// The problem that a refusal alone points to.
pub fn problem_of(refusal: Refusal) -> ShopProblem {
    match (refusal.error.failure, refusal.code) {
        (_, Code::RestClosed) => ShopProblem::RestSwitchedOff,
        (_, Code::NoRoute) => ShopProblem::NoApi,
        (Failure::Status(401), Code::Authentication) => ShopProblem::WrongSecret,
        (Failure::Status(401), _) => ShopProblem::UnknownKey,
        (Failure::Status(403), Code::CannotAccess) => ShopProblem::RightsMissing,
        (
            Failure::Status(status @ (403 | 406 | 501)) | Failure::Html(status @ (401 | 403 | 405 | 406 | 429 | 501)),
            _,
        ) => ShopProblem::Firewall(status),
        (Failure::Html(503), _) => ShopProblem::Firewall(503),
        (Failure::Status(404 | 410) | Failure::Html(404 | 410), _) => ShopProblem::NoApi,
        (Failure::Html(200..=299), _) | (Failure::NotJson, _) => ShopProblem::SpoiltAnswers,
        (Failure::Status(300..=399) | Failure::Html(300..=399), _) => ShopProblem::Moved,
        (failure, _) => ShopProblem::Other(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::CallError;

    #[test]
    fn each_refusal_has_its_problem() {
        for (failure, code, problem) in [
            (Failure::Status(401), Code::Authentication, ShopProblem::WrongSecret),
            (Failure::Status(401), Code::RestClosed, ShopProblem::RestSwitchedOff),
            (Failure::Status(403), Code::CannotAccess, ShopProblem::RightsMissing),
            (Failure::Html(403), Code::Other, ShopProblem::Firewall(403)),
            (Failure::Status(501), Code::Other, ShopProblem::Firewall(501)),
            (Failure::Html(200), Code::Other, ShopProblem::SpoiltAnswers),
            (Failure::NotJson, Code::Other, ShopProblem::SpoiltAnswers),
            (Failure::Html(404), Code::NoRoute, ShopProblem::NoApi),
            (Failure::Status(301), Code::Other, ShopProblem::Moved),
            (Failure::Timeout, Code::Other, ShopProblem::Other(Failure::Timeout)),
            (Failure::Status(500), Code::Other, ShopProblem::Other(Failure::Status(500))),
        ] {
            assert_eq!(problem_of(Refusal { error: CallError::from(failure), code }), problem, "{failure}");
        }
    }
}
