//! The calls that checks make. None of them sends anything to the destination that could be taken for an order.

use std::time::{Duration, Instant};

use super::{Checker, public_address};
use crate::{
    clock::Timestamp,
    connection::{Connection, Link},
    destination::{Destination, cloud_elements},
    health::{
        checks::LIMIT,
        facts::{Probe, ShopProblem, StoreLabel},
    },
    http::Failure,
    services::Services,
    source::{
        Source,
        woocommerce::{objects::ShopInfo, problem},
    },
    spec::DestinationSpec,
};

/// The result of a call and the time it took; a call longer than a check may take is a timeout.
async fn timed<T>(call: impl Future<Output = Result<T, Failure>>) -> Probe<Result<T, Failure>> {
    let began = Instant::now();
    let outcome = tokio::time::timeout(LIMIT, call).await.unwrap_or(Err(Failure::Timeout));
    Probe { at: Timestamp::now(), took: began.elapsed(), outcome }
}

impl Checker {
    /// Runs the probes in parallel; the destination's only if `asks_destination`.
    pub(super) async fn probe(&self, services: &Services, connection: &Connection, asks_destination: bool) {
        let (id, began) = (connection.id, Instant::now());
        let database = async {
            let probed = tokio::time::timeout(LIMIT, services.inbox.probe(Timestamp::now())).await;
            match &probed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the database cannot be written: {error}"),
                Err(_) => {
                    let seconds = LIMIT.as_secs();
                    tracing::warn!(seconds, "the database could not be written within {seconds} seconds");
                }
            }
            services.storage.probed(matches!(probed, Ok(Ok(()))));
            self.note(connection, |probed| probed.database_took = began.elapsed());
        };
        let Some(link) = &connection.link else { return database.await };
        let store = async {
            let found = timed(async { link.can_read().await.map_err(|error| error.failure) }).await;
            let problem = match &found.outcome {
                Ok(()) => None,
                Err(_) => diagnosis(link).await,
            };
            self.note(connection, |probed| {
                if probed.store.keep(began, found) {
                    probed.shop = problem;
                }
            });
        };
        let label = async {
            if let Ok(Some(label)) = tokio::time::timeout(LIMIT, label(link)).await {
                self.note(connection, |probed| probed.label = Some(label));
            }
        };
        let destination = async {
            let Some(destination) = link.destination.as_ref().filter(|_| asks_destination) else { return };
            let found = timed(reach(services, link, destination)).await;
            self.note(connection, |probed| {
                probed.destination.keep(began, found);
            });
        };
        let hooks = async {
            let (inspected, blocked) = tokio::join!(
                tokio::time::timeout(LIMIT, services.registrar.inspect(connection)),
                tokio::time::timeout(LIMIT, services.registrar.blocked(connection)),
            );
            if let Ok(Err(error)) = &inspected {
                tracing::debug!(connection = %id, %error, "the hooks cannot be looked at: {error}");
            }
            let seconds = blocked.ok().and_then(Result::ok).flatten();
            self.note(connection, |probed| {
                probed.hooks_took = began.elapsed();
                if matches!(inspected, Ok(Ok(_))) {
                    probed.hooks_looked_at = Some(Timestamp::now());
                }
                probed.blocked_for = seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
            });
        };
        let public = async {
            if let Some(base) = &services.settings.public_url {
                let found = public_address::probe(services, base).await;
                self.note(connection, |probed| {
                    probed.public_address.keep(began, found);
                });
            }
        };
        tokio::join!(database, store, label, destination, hooks, public);
    }
}

async fn reach(services: &Services, link: &Link, destination: &Destination) -> Result<u16, Failure> {
    let _far_call = services.far_calls.take_urgent().await;
    let reached = match destination {
        Destination::OneTribe(one_tribe) => one_tribe.probe().await,
        Destination::CloudElements(_) => {
            let Some(DestinationSpec::CloudElements(callback)) = &link.spec.destination else { return Ok(200) };
            cloud_elements::probe(&services.http, callback, LIMIT).await
        }
    };
    reached.map_err(|error| error.failure)
}

/// The name that the store gives itself, where the API may be asked for it.
async fn label(link: &Link) -> Option<StoreLabel> {
    match &link.source {
        Source::BigCommerce(store) => {
            let found = store.information().await.ok()?;
            let address = if found.secure_url.is_empty() { found.domain } else { found.secure_url };
            Some(StoreLabel {
                name: found.name,
                address,
                control_panel_url: Some(found.control_panel_base_url).filter(|url| url.starts_with("https://")),
            })
        }
        Source::WooCommerce(shop) => {
            let found = shop.info().await.ok()?;
            let address = if found.home.is_empty() { shop.site().to_string() } else { found.home };
            Some(StoreLabel {
                name: found.name,
                address,
                control_panel_url: Some(ShopInfo::control_panel(shop.site())),
            })
        }
    }
}

/// Why a WooCommerce shop cannot be read, where its answers show a cause with a cure of its own.
async fn diagnosis(link: &Link) -> Option<ShopProblem> {
    let Source::WooCommerce(shop) = &link.source else { return None };
    match tokio::time::timeout(LIMIT, shop.diagnose()).await.ok()?.err()? {
        problem::ShopProblem::HeaderStripped => Some(ShopProblem::HeaderStripped),
        problem::ShopProblem::NotSeenAsHttps => Some(ShopProblem::NotHttps),
        problem::ShopProblem::WrongSecret => Some(ShopProblem::WrongSecret),
        problem::ShopProblem::RightsMissing => Some(ShopProblem::MayNotRead),
        problem::ShopProblem::Firewall(status) => Some(ShopProblem::Challenge(status)),
        problem::ShopProblem::RestSwitchedOff | problem::ShopProblem::NoApi => Some(ShopProblem::RestOff),
        // The call's own failure already says this.
        problem::ShopProblem::UnknownKey
        | problem::ShopProblem::Moved
        | problem::ShopProblem::SpoiltAnswers
        | problem::ShopProblem::Other(_) => None,
    }
}
