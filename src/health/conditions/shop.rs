//! WooCommerce shops: one cure for each cause, in a merchant's words. Source: WooCommerce's REST authentication and
//! webhook classes, and tests with real shops.

use crate::{
    health::{
        condition::{Action, CheckId, Code, Condition, Judgment, Severity},
        facts::{Facts, ShopProblem},
    },
    humanize,
};

pub(super) fn shop(facts: &Facts, judgment: &mut Judgment) {
    for problem in &facts.shop {
        let condition = condition(facts, *problem);
        if judgment.find(condition.code).is_none() {
            judgment.conditions.push(condition);
        }
    }
}

fn condition(facts: &Facts, problem: ShopProblem) -> Condition {
    use {CheckId::*, Severity::*};
    let waits = "Orders cannot be fetched: they wait here and none is lost.";
    let confirmed = facts.store.credentials.trouble().is_some_and(|refusal| refusal.is_confirmed());
    match problem {
        ShopProblem::NotHttps => Condition::new(Code::ShopNotHttps, Error, StoreApi, "WordPress does not see https")
            .text(
                "The shop is called over https, but WordPress does not notice it and ignores the keys.",
                waits,
                "Have the shop's host pass on `X-Forwarded-Proto: https`, and set `$_SERVER['HTTPS'] = 'on'` for it in wp-config.php.",
            )
            .alerting(confirmed),
        ShopProblem::RestOff => Condition::new(Code::ShopRestOff, Error, StoreApi, "The shop's REST API is switched off")
            .text(
                "The shop's REST API cannot be found: it is switched off or blocked.",
                waits,
                "In WordPress, look at security plugins that switch off the REST API, and save Settings, Permalinks once.",
            )
            .alerting(confirmed),
        ShopProblem::Challenge(status) => {
            Condition::new(Code::ShopChallenge, Error, StoreApi, "A firewall keeps the relay out")
                .text(
                    format!("A firewall in front of the shop answers with a web page of its own (HTTP {status})."),
                    waits,
                    "Have the shop's host allow the User-Agent `onetribe-relay` on `/wp-json/wc/`.",
                )
                .alerting(facts.store.outage.trouble().is_some_and(|outage| facts.age(outage.since) >= super::DOWN_TOO_LONG))
        }
        ShopProblem::WrongSecret => {
            Condition::new(Code::CredentialsRefused, Error, StoreApi, "The shop refuses the keys")
                .text(
                    "The shop knows the consumer key, but the consumer secret is wrong.",
                    waits,
                    facts.connection.renew_credentials(),
                )
                .alerting(confirmed)
        }
        ShopProblem::MayNotRead => Condition::new(Code::CredentialsRefused, Error, StoreApi, "Orders may not be read")
            .text("The keys may not read orders.", waits, facts.connection.grant_rights())
            .alerting(confirmed),
        ShopProblem::ReadOnly => Condition::new(Code::ShopReadOnly, Warning, Hooks, "The keys may only read").text(
            "The keys may only read: the relay cannot have the shop tell it of new orders (webhooks).",
            facts.connection.meanwhile(),
            facts.connection.renew_credentials(),
        ),
        ShopProblem::WebhooksDisabled => {
            Condition::new(Code::ShopWebhooksDisabled, Warning, Hooks, "Notices of new orders are switched off")
                .text(
                    "WooCommerce has switched off the notices of new orders (webhooks), as it does after seven failed deliveries.",
                    facts.connection.meanwhile(),
                    "Click Update Integration: the relay switches them on again. If it happens again, the shop cannot reach the relay.",
                )
                .action(Action::Update)
        }
        ShopProblem::CronLate(late) => Condition::new(Code::ShopCronLate, Warning, Hooks, "Notices of new orders come late").text(
            format!("The shop tells of new orders {} late (webhooks): WordPress's scheduled tasks do not run on time.", humanize::span(late)),
            facts.connection.meanwhile(),
            "Have the shop's host call wp-cron.php every minute, or visit WooCommerce, Status, Scheduled Actions.",
        ),
        ShopProblem::HeaderStripped => {
            Condition::new(Code::ShopHeaderStripped, Warning, StoreApi, "The keys travel in the address").text(
                "The shop's web server strips the Authorization header, so the relay sends the keys in the address (over https).",
                "The shop's access log may show them.",
                "Have the shop's host pass the header on (Apache: `CGIPassAuth On`, or `SetEnvIf Authorization \"(.*)\" HTTP_AUTHORIZATION=$1`).",
            )
        }
    }
}
