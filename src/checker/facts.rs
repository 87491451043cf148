//! What is known of a connection without asking its store or its destination.

use std::time::{Duration, Instant};

use super::Probed;
use crate::{
    breaker::Health,
    clock::Timestamp,
    connection::{Connection, Link},
    health::{
        Facts, LONG_WAIT,
        facts::{
            CallbackFacts, ConnectionFacts, DestinationFacts, DiskSpace, HookFacts, HookFault, OrderFacts, Refusal,
            RelayFacts, ShopProblem, StoreFacts, Trouble, WebhookFacts,
        },
    },
    http::Failure,
    inbox::{Database, HookRow, InboxError, ObjectQuery, ObjectState, Outage, Side},
    services::Services,
    source::{Source, woocommerce::AuthMode},
    spec::DestinationSpec,
    telemetry,
};

/// Time limit for reading the facts from the database.
const READ_TIME: Duration = Duration::from_secs(3);
/// Most orders read of each group.
const SHOWN: u32 = 20;

/// Reads all facts once.
pub(super) async fn read(services: &Services, connection: &Connection, probed: &Probed) -> Facts {
    let at = Timestamp::now();
    let mut facts = Facts::new(at, connection_facts(services, connection, probed));
    let kept = tokio::time::timeout(READ_TIME, kept(services, connection)).await;
    let kept = match kept {
        Ok(Ok(kept)) => Some(kept),
        Ok(Err(error)) => {
            tracing::warn!(connection = %connection.id, %error, "the facts of connection {} cannot be read: {error}", connection.id);
            None
        }
        Err(_) => None,
    };
    facts.relay = relay_facts(services, probed, kept.is_some(), at);
    facts.public_address = probed.public_address.probe.clone();
    if let Some(link) = &connection.link {
        let outages = kept.as_ref().map_or(&[][..], |kept| &kept.outages);
        let delivered_at = kept.as_ref().and_then(|kept| kept.orders.summary.last_delivered_at);
        facts.store = store_facts(link, outages, probed, delivered_at, at);
        facts.destination = DestinationFacts {
            outage: outage(link, Side::Destination, outages, at),
            answered_at: delivered_at,
            recovered_at: recovered_at(link, Side::Destination, at),
            probe: probed.destination.probe.clone(),
            probes_fail_since: probed.destination.fails_since,
        };
        let last_event_at = kept.as_ref().and_then(|kept| kept.orders.summary.last_event_at);
        facts.webhooks = webhook_facts(link, last_event_at);
    }
    if let Some(kept) = kept {
        facts.hooks = hook_facts(services, connection, probed, kept.hooks, at);
        facts.shop = shop_problems(connection, &facts.hooks, probed);
        facts.callback =
            CallbackFacts { outstanding: kept.outstanding, next_try_at: kept.next_try_at, ..callback(connection) };
        facts.feeds = kept.feeds;
        facts.orders = Some(kept.orders);
    }
    facts
}

/// What the database holds about a connection.
struct Kept {
    orders: OrderFacts,
    outages: Vec<Outage>,
    hooks: Vec<HookRow>,
    feeds: Vec<crate::inbox::Feed>,
    outstanding: u64,
    next_try_at: Option<Timestamp>,
}

async fn kept(services: &Services, connection: &Connection) -> Result<Kept, InboxError> {
    let (inbox, id) = (&services.inbox, connection.id);
    let summary = inbox.summary(id).await?;
    let query = ObjectQuery { limit: SHOWN, ..ObjectQuery::default() };
    let recent = inbox.objects(id, query.clone()).await?;
    let failed = match summary.failed {
        0 => Vec::new(),
        _ => inbox.objects(id, ObjectQuery { state: Some(ObjectState::Failed), ..query.clone() }).await?,
    };
    let troubled = match summary.refused {
        0 => Vec::new(),
        _ => inbox.objects(id, ObjectQuery { only_in_trouble: true, ..query }).await?,
    };
    let is_late = summary.oldest_waiting.is_some_and(|since| Timestamp::now().since(since) >= LONG_WAIT);
    let waiting = if is_late { inbox.objects(id, ObjectQuery::waiting(SHOWN)).await? } else { Vec::new() };
    let outstanding = match connection.link.as_ref().and_then(|link| link.spec.destination.as_ref()) {
        Some(DestinationSpec::CloudElements(_)) => inbox.outstanding(id).await?,
        _ => Vec::new(),
    };
    Ok(Kept {
        orders: OrderFacts { summary, recent, failed, troubled, waiting },
        outages: inbox.outages(id).await?,
        hooks: inbox.hooks(id).await?,
        feeds: inbox.feeds(id).await?,
        outstanding: outstanding.len() as u64,
        next_try_at: outstanding.iter().filter_map(|notification| notification.retry_at).min(),
    })
}

fn connection_facts(services: &Services, connection: &Connection, probed: &Probed) -> ConnectionFacts {
    let spec = connection.link.as_ref().map(|link| &link.spec);
    let settings = &services.settings;
    ConnectionFacts {
        id: connection.id,
        name: connection.name.clone(),
        origin: connection.origin,
        state: connection.state,
        pause_reason: connection.pause_reason,
        source: connection.source_kind,
        store: connection.store.clone(),
        label: probed.label.clone(),
        destination: connection.destination_host.as_ref().map(|(kind, _)| *kind),
        destination_host: connection.destination_host.as_ref().map(|(_, host)| host.clone()),
        has_webhooks: spec.is_some_and(|spec| spec.has_webhooks),
        poll_interval: spec.and_then(|spec| spec.poll_interval).or(settings.reconcile_interval),
        public_url: settings.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
        created_at: connection.created_at,
    }
}

fn relay_facts(services: &Services, probed: &Probed, is_readable: bool, at: Timestamp) -> RelayFacts {
    let database = match services.storage.failing_since() {
        Some(since) => Health::Trouble(since),
        None if is_readable => Health::Well,
        None => Health::Trouble(at),
    };
    RelayFacts {
        has_admin_token: services.settings.admin_token.is_some(),
        database,
        database_took: probed.database_took,
        disk: disk_space(&services.settings.database),
        log_lines_dropped: telemetry::dropped_lines(),
    }
}

/// Free space on the disk that holds the database file; `None` for a database that is no local file.
pub fn disk_space(database: &Database) -> Option<DiskSpace> {
    let Database::Sqlite(path) = database else { return None };
    let folder = std::path::absolute(path).ok()?;
    let found = rustix::fs::statvfs(folder.parent()?).ok()?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    Some(DiskSpace {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: used.saturating_add(found.f_bavail).saturating_mul(found.f_frsize),
    })
}

/// Whether a side is down: as this process sees it, or as the delivering process has noted it.
fn outage(link: &Link, side: Side, outages: &[Outage], at: Timestamp) -> Health<Trouble> {
    let health = link.breaker(side).health();
    let noted = outages.iter().find(|outage| outage.side == side);
    match (health, noted) {
        (Health::Trouble((since, failure)), _) => {
            Health::Trouble(Trouble { since: at.before(since.elapsed()), failure })
        }
        (Health::Well, _) => Health::Well,
        (Health::Unknown, Some(Outage { since, failure, .. })) => {
            Health::Trouble(Trouble { since: *since, failure: *failure })
        }
        (Health::Unknown, None) => Health::Unknown,
    }
}

/// When this process last saw an outage of a side end.
fn recovered_at(link: &Link, side: Side, at: Timestamp) -> Option<Timestamp> {
    link.breaker(side).recovered_at().map(|recovered| at.before(recovered.elapsed()))
}

fn store_facts(
    link: &Link,
    outages: &[Outage],
    probed: &Probed,
    delivered_at: Option<Timestamp>,
    at: Timestamp,
) -> StoreFacts {
    // Only a refusal seen at least twice, ten seconds apart, is reported here.
    let credentials = link.source.credentials().map(|refused| Refusal {
        failure: Failure::Status(refused.status),
        first_at: refused.since,
        last_at: at.max(refused.since.after(Duration::from_secs(10))),
        count: 2,
    });
    let closed_for = match &link.source {
        Source::BigCommerce(store) => store.quota().closed_for(Instant::now()),
        Source::WooCommerce(shop) => {
            let now = Instant::now();
            shop.pause(now).map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
        }
    };
    let ahead = link.source.ahead_ms();
    let reach = link.source.reach();
    StoreFacts {
        outage: outage(link, Side::Store, outages, at),
        credentials,
        silence: reach.silence(),
        answered_at: delivered_at.max(reach.answered_at()),
        delivered_at,
        recovered_at: recovered_at(link, Side::Store, at),
        quota_closed_for: Some(closed_for).filter(|span| !span.is_zero()),
        clock_ahead_ms: Some(-ahead).filter(|ahead| *ahead != 0),
        probe: probed.store.probe.clone(),
        probes_fail_since: probed.store.fails_since,
    }
}

fn hook_facts(
    services: &Services,
    connection: &Connection,
    probed: &Probed,
    mut rows: Vec<HookRow>,
    at: Timestamp,
) -> HookFacts {
    let wanted = services.builder.wanted_hooks(connection);
    // A command with other scopes may have looked for others.
    rows.retain(|row| wanted.iter().any(|wanted| wanted.topic == row.topic));
    let expected = wanted.len();
    let upkeep = services.registrar.health(connection.id).map(|trouble| {
        let fault = match trouble.failure {
            Failure::Status(429) => HookFault::Quota,
            failure => HookFault::Call(failure),
        };
        (at.before(trouble.since.elapsed()), fault)
    });
    HookFacts {
        rows,
        expected,
        looked_at: probed.hooks_looked_at,
        took: probed.hooks_took,
        upkeep,
        blocked_for: probed.blocked_for,
    }
}

fn webhook_facts(link: &Link, last_event_at: Option<Timestamp>) -> WebhookFacts {
    let mut evidence = link.webhooks.lock();
    WebhookFacts {
        wrong_signature: evidence.wrong_secret_since().map(|since| Refusal::new(Failure::Status(401), since)),
        unsigned_at: evidence.many_unsigned().map(|_| Timestamp::now()),
        refused: evidence.many_refused(Instant::now()).unwrap_or(0),
        missed: evidence.missed_since(last_event_at),
    }
}

fn callback(connection: &Connection) -> CallbackFacts {
    let destination = connection.link.as_ref().and_then(|link| link.spec.destination.as_ref());
    let is_plain_http = matches!(destination, Some(DestinationSpec::CloudElements(callback))
        if callback.url.expose().starts_with("http://"));
    CallbackFacts { is_plain_http, ..CallbackFacts::default() }
}

/// Problems of a WooCommerce shop: what the last check found, and what its answers and webhooks have shown.
fn shop_problems(connection: &Connection, hooks: &HookFacts, probed: &Probed) -> Vec<ShopProblem> {
    let Some(link) = &connection.link else { return Vec::new() };
    let Source::WooCommerce(shop) = &link.source else { return Vec::new() };
    let refused = matches!(hooks.upkeep.trouble(), Some((_, HookFault::Call(Failure::Status(401 | 403)))));
    let may_not_write = refused && !matches!(shop.credentials(), Health::Trouble(_));
    let late = link.webhooks.lock().late_by();
    let learned = shop.facts();
    let is_disabled = |row: &HookRow| row.hook_id.is_some_and(|id| learned.disabled_hooks.contains(&id));
    let disabled = hooks.rows.iter().any(is_disabled);
    [
        probed.shop,
        may_not_write.then_some(ShopProblem::ReadOnly),
        disabled.then_some(ShopProblem::WebhooksDisabled),
        late.map(ShopProblem::CronLate),
        (learned.auth == AuthMode::QueryKeys).then_some(ShopProblem::HeaderStripped),
    ]
    .into_iter()
    .flatten()
    .collect()
}
