//! Lists of changed orders, from shops of every version, storage and time zone.

use std::collections::{BTreeMap, BTreeSet};

use onetribe_relay::{
    clock::Timestamp,
    object::Snapshot,
    source::{ChangesRequest, Sort, woocommerce::Shop},
};
use sandbox::{Operation, ShopConfig, ShopSim, ShopVersion, store::Clock};

use serde_json::json;

use super::{SOON, client, number};

/// 2025-11-26T10:00:00Z
const START: i64 = 1_764_151_200;

async fn page(shop: &Shop, since: i64, sort: Sort, page: u32, limit: u32) -> Vec<Snapshot> {
    let request = ChangesRequest { since: Timestamp::from_seconds(since), sort, page, limit };
    shop.changes(shop.take().await, &request).await.expect("a page")
}

fn seconds(row: &Snapshot) -> i64 {
    row.modified.expect("a date").millis() / 1000
}

/// Pages through the list as a poll does: each page begins at the last row of the one before, and page numbers are used
/// only for rows that share a second. Returns the orders found, with the last change of each.
async fn walk(shop: &Shop, since: i64, limit: u32) -> BTreeMap<i64, i64> {
    let (mut since, mut number, mut found) = (since, 1, BTreeMap::new());
    loop {
        let rows = page(shop, since, Sort::OldestFirst, number, limit).await;
        assert!(rows.len() <= limit as usize && rows.is_sorted_by_key(seconds), "sorted, and no longer than asked");
        assert!(rows.iter().all(|row| seconds(row) >= since), "filtered");
        let Some(last) = rows.last().map(seconds) else { return found };
        found.extend(rows.iter().map(|row| (row.id.number().expect("a number"), seconds(row))));
        (since, number) = if last - 1 > since { (last - 1, 1) } else { (since, number + 1) };
    }
}

/// A shop with orders that were changed over several days, many of them in the same second, some in the trash.
fn shop_with_history(config: ShopConfig, orders: i64) -> (ShopSim, Shop) {
    let clock = Clock::new(|| START);
    let sim = ShopSim::start_with(ShopConfig { clock, record_details: false, ..config }).expect("a port");
    for n in 0..orders {
        let id = sim.place_order_silently(None, "processing");
        if n % 7 == 3 {
            sim.trash_order(id);
        }
        // Forty in the same second (every fifth of the first 200), the others minutes apart and not in the order of
        // their ids.
        let at = if n % 5 == 0 && n < 200 { 100_000 } else { (n * 37 % orders) * 400 };
        sim.set_modified(id, START + at);
    }
    let shop = client(&sim);
    (sim, shop)
}

fn changed_since(sim: &ShopSim, since: i64) -> BTreeMap<i64, i64> {
    sim.orders().into_iter().filter(|order| order.modified >= since).map(|order| (order.id, order.modified)).collect()
}

#[tokio::test]
async fn every_change_is_found_in_every_kind_of_shop() {
    for version in [ShopVersion::V5_7, ShopVersion::V8_0, ShopVersion::V9_0, ShopVersion::V11_0] {
        for (utc_offset, has_hpos, is_ssl) in [(0, true, true), (7200, false, false), (-18_000, true, true)] {
            let config = ShopConfig { version, utc_offset, has_hpos, is_ssl, ..ShopConfig::default() };
            let (sim, shop) = shop_with_history(config, 300);
            for since in [START - 10, START + 50_000, START + 99_999, START + 100_000, START + 119_600] {
                let limits: &[u32] = if since == START + 100_000 { &[7, 100] } else { &[100] };
                for limit in limits.iter().copied() {
                    let (found, expected) = (walk(&shop, since, limit).await, changed_since(&sim, since));
                    assert_eq!(found, expected, "{version:?} {utc_offset} {since} {limit}");
                }
            }
            assert_eq!(shop.facts().dates.filters == Some(false), version == ShopVersion::V5_7);
        }
    }
}

#[tokio::test]
async fn the_newest_come_first_when_asked_so() {
    for (version, sorts_by_change) in
        [(ShopVersion::V11_0, true), (ShopVersion::V5_7, true), (ShopVersion::V5_7, false)]
    {
        let (sim, shop) = shop_with_history(ShopConfig { version, sorts_by_change, ..ShopConfig::default() }, 120);
        let mut expected: Vec<(i64, i64)> =
            changed_since(&sim, START + 20_000).into_iter().map(|(id, at)| (at, id)).collect();
        expected.sort_unstable();
        expected.reverse();
        let mut found = Vec::new();
        for number in 1.. {
            let rows = page(&shop, START + 20_000, Sort::NewestFirst, number, 30).await;
            if rows.is_empty() {
                break;
            }
            found.extend(rows.iter().map(|row| (seconds(row), row.id.number().expect("a number"))));
        }
        assert_eq!(found, expected, "{version:?} {sorts_by_change}");
    }
}

#[tokio::test]
async fn shops_that_cannot_sort_by_change_are_looked_through() {
    for version in [ShopVersion::V5_7, ShopVersion::V11_0] {
        let (sim, shop) =
            shop_with_history(ShopConfig { version, sorts_by_change: false, ..ShopConfig::default() }, 300);
        assert_eq!(walk(&shop, START + 50_000, 40).await, changed_since(&sim, START + 50_000));
        assert_eq!(shop.facts().dates.sorts, Some(false));
    }
}

#[tokio::test]
async fn other_resources_are_asked_for_what_changed() {
    let sim = ShopSim::start().expect("a port");
    let shop = client(&sim);
    for resource in ["products", "coupons"] {
        let ids: Vec<i64> = (0..5).map(|_| sim.add_object(resource, json!({ "status": "publish" }))).collect();
        let since = Timestamp::from_seconds(0);
        let request = ChangesRequest { since, sort: Sort::OldestFirst, page: 1, limit: 100 };
        let rows = shop.changes_of(shop.take().await, resource, &request).await.expect("a page");
        assert_eq!(rows.iter().filter_map(|row| row.id.number()).collect::<Vec<_>>(), ids, "{resource}");
    }
}

#[tokio::test]
async fn a_poll_that_finds_nothing_new_costs_two_calls() {
    let (sim, shop) = shop_with_history(ShopConfig::default(), 500);
    shop.can_read().await.expect("it answers");
    let before = sim.call_count(Operation::Any);
    assert!(page(&shop, START + 1_000_000, Sort::NewestFirst, 1, 100).await.is_empty());
    assert_eq!(sim.call_count(Operation::Any) - before, 2);

    let (sim, shop) = shop_with_history(ShopConfig { version: ShopVersion::V5_7, ..ShopConfig::default() }, 500);
    page(&shop, START + 199_000, Sort::NewestFirst, 1, 100).await;
    let before = sim.call_count(Operation::Any);
    assert_eq!(page(&shop, START + 199_000, Sort::OldestFirst, 1, 100).await.len(), 2);
    assert!(sim.call_count(Operation::Any) - before <= 4, "an old shop costs little more");
}

#[tokio::test]
async fn orders_that_move_while_they_are_walked_are_not_lost() {
    for version in [ShopVersion::V5_7, ShopVersion::V11_0] {
        let (sim, shop) = shop_with_history(ShopConfig { version, ..ShopConfig::default() }, 200);
        let (mut since, mut found, mut moved) = (START - 1, BTreeSet::new(), 0);
        loop {
            let rows = page(&shop, since, Sort::OldestFirst, 1, 50).await;
            found.extend(rows.iter().filter_map(|row| row.id.number()));
            let last = rows.last().map(seconds).expect("the moved one is always there");
            if last - 1 <= since || moved == 20 {
                break;
            }
            since = last - 1;
            // An order that was already read changes, and moves to the end of the list.
            moved += 1;
            let id = *found.iter().next().expect("some were read");
            sim.set_modified(id, START + 200_000 + moved);
        }
        assert_eq!(found.len(), 200, "{version:?}");
    }
}

#[tokio::test]
async fn what_leaves_the_trash_silently_is_found() {
    let (sim, shop) = shop_with_history(ShopConfig::default(), 10);
    let trashed = sim.orders().into_iter().find(|order| order.is_trashed()).expect("one is").id;
    let rows = page(&shop, START - 1, Sort::OldestFirst, 1, 100).await;
    let row = rows.iter().find(|row| row.id == number(trashed)).expect("the trash is listed");
    assert!(row.is_deleted);
    sim.change_order(trashed, "completed");
    let rows = page(&shop, START - 1, Sort::OldestFirst, 1, 100).await;
    let row = rows.iter().find(|row| row.id == number(trashed)).expect("it is listed");
    assert!(!row.is_deleted && row.status.as_deref() == Some("completed"));
}

#[tokio::test]
async fn a_shop_that_repeats_its_first_page_keeps_nobody_for_ever() {
    for (version, sorts_by_change) in
        [(ShopVersion::V5_7, true), (ShopVersion::V5_7, false), (ShopVersion::V11_0, true), (ShopVersion::V11_0, false)]
    {
        let config = ShopConfig { version, sorts_by_change, repeats_first_page: true, ..ShopConfig::default() };
        let (sim, shop) = shop_with_history(config, 300);
        for sort in [Sort::OldestFirst, Sort::NewestFirst] {
            for since in [START - 10, START + 100_000, START + 1_000_000] {
                let before = sim.call_count(Operation::Any);
                let request = ChangesRequest { since: Timestamp::from_seconds(since), sort, page: 3, limit: 10 };
                let permit = shop.take().await;
                let asked = tokio::time::timeout(SOON, shop.changes(permit, &request)).await;
                asked.expect("it ends").expect("a page");
                let calls = sim.call_count(Operation::Any) - before;
                assert!(calls <= 120, "{version:?} {sorts_by_change} {sort:?} {since}: {calls} calls");
            }
        }
    }
}
