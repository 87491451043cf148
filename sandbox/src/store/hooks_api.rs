//! The hooks over HTTP: v2 (bare objects, full updates) and v3 (`data` and `meta`, partial updates).

use std::time::Instant;

use actix_web::http::Method;
use serde::Serialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::account::ApiAccount;
use super::hooks::{Draft, Hook, HookRules, Hooks, Refusal};
use crate::answer::Answer;

/// The version of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V2,
    V3,
}

/// What a call below `hooks` addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    All,
    One(i64),
    Admin,
}

/// v3's default page size, and the largest.
const V3_LIMIT: (usize, usize) = (50, 250);

pub(crate) struct HookCall<'a> {
    /// The API account that calls.
    pub(crate) account: &'a ApiAccount,
    pub(crate) version: Version,
    pub(crate) target: Target,
    pub(crate) method: &'a Method,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
    /// Unix seconds.
    pub(crate) now: i64,
}

impl HookCall<'_> {
    pub(crate) fn answer(&self, hooks: &mut Hooks) -> Answer {
        if let (Version::V2, Some(status)) = (self.version, hooks.rules.v2_gone) {
            return Answer::refusal(status, "this version of the hooks API is gone");
        }
        match (self.target, self.method.as_str()) {
            (Target::All, "GET") => self.list(hooks),
            (Target::All, "POST") => {
                let created = if self.version == Version::V2 { hooks.rules.v2_created } else { 200 };
                self.written(created, |draft| hooks.create(self.account, draft, self.now))
                    .unwrap_or_else(|why| self.refuse(why, hooks))
            }
            (Target::One(id), "GET") => match hooks.get_of(&self.account.client_id, id) {
                Some(hook) => self.one(200, hook),
                None => self.refuse(Refusal::Unknown, hooks),
            },
            (Target::One(id), "PUT") => self
                .written(200, |draft| {
                    if self.version == Version::V2 && !draft.is_full() {
                        return Err(Refusal::Invalid);
                    }
                    hooks.update(&self.account.client_id, id, draft, self.now)
                })
                .unwrap_or_else(|why| self.refuse(why, hooks)),
            (Target::One(id), "DELETE") => match hooks.remove(&self.account.client_id, id) {
                Ok(hook) => self.one(200, &hook),
                Err(why) => self.refuse(why, hooks),
            },
            (Target::Admin, "GET") if self.version == Version::V3 => admin(hooks),
            (Target::Admin, "PUT") if self.version == Version::V3 => self.set_emails(hooks),
            (Target::Admin, _) => Answer::refusal(404, "not found"),
            _ => Answer::refusal(405, "method not allowed"),
        }
    }

    fn written(&self, status: u16, write: impl FnOnce(Draft) -> Result<Hook, Refusal>) -> Result<Answer, Refusal> {
        let draft = serde_json::from_slice(self.body).map_err(|_| Refusal::Invalid)?;
        write(draft).map(|hook| self.one(status, &hook))
    }

    fn one(&self, status: u16, hook: &Hook) -> Answer {
        match self.version {
            Version::V2 => render(status, hook),
            Version::V3 => render(status, &json!({ "data": hook, "meta": {} })),
        }
    }

    fn list(&self, hooks: &Hooks) -> Answer {
        let mut own = hooks.all_of(&self.account.client_id).peekable();
        match self.version {
            Version::V2 if own.peek().is_none() && hooks.rules.v2_empty_is_204 => Answer::empty(204),
            Version::V2 => self.list_v2(&own.collect::<Vec<_>>(), &hooks.rules),
            Version::V3 => self.list_v3(hooks),
        }
    }

    fn list_v2(&self, own: &[&Hook], rules: &HookRules) -> Answer {
        let show = |hooks: &[&Hook]| hooks.iter().map(|hook| rules.shown.show(hook)).collect::<Vec<_>>();
        let Some(size) = rules.v2_page else { return render(200, &show(own)) };
        let page = form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(name, value)| (name == "page").then(|| value.parse().ok())?)
            .unwrap_or(1_usize)
            .max(1);
        let pages = own.len().div_ceil(size).max(1);
        let page = if rules.v2_repeats { (page - 1) % pages } else { page - 1 };
        let rest = own.get(page * size..).unwrap_or_default();
        if rest.is_empty() && rules.v2_empty_is_204 {
            return Answer::empty(204);
        }
        render(200, &show(&rest[..rest.len().min(size)]))
    }

    fn list_v3(&self, hooks: &Hooks) -> Answer {
        let (mut page, mut limit) = (1, V3_LIMIT.0);
        let mut fitting: Vec<&Hook> = hooks.all_of(&self.account.client_id).collect();
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            match &*name {
                "page" => page = value.parse().unwrap_or(1).max(1),
                "limit" => limit = value.parse().unwrap_or(limit).clamp(1, V3_LIMIT.1),
                "scope" => fitting.retain(|hook| hook.scope == value),
                "destination" => fitting.retain(|hook| hook.destination == value),
                "is_active" => fitting.retain(|hook| hook.is_active == (value == "true")),
                _ => {}
            }
        }
        let total = fitting.len();
        let shown = hooks.rules.shown;
        let rows = fitting.into_iter().skip((page - 1) * limit).take(limit);
        let data: Vec<Value> = rows.map(|hook| shown.show(hook)).collect();
        let pages = total.div_ceil(limit).max(1);
        let mut links = json!({ "current": format!("?page={page}&limit={limit}") });
        if page < pages {
            links["next"] = json!(format!("?page={}&limit={limit}", page + 1));
        }
        let pagination = json!({
            "total": total, "count": data.len(), "per_page": limit, "current_page": page, "total_pages": pages,
            "links": links,
        });
        render(200, &json!({ "data": data, "meta": { "pagination": pagination } }))
    }

    fn set_emails(&self, hooks: &mut Hooks) -> Answer {
        match serde_json::from_slice::<Value>(self.body)
            .ok()
            .and_then(|mut body| body.get_mut("emails").map(Value::take))
        {
            Some(emails @ Value::Array(_)) => {
                hooks.emails = emails;
                Answer::empty(204)
            }
            _ => Answer::refusal(400, "emails is missing"),
        }
    }

    fn refuse(&self, why: Refusal, hooks: &Hooks) -> Answer {
        let duplicate = match self.version {
            Version::V2 => hooks.rules.v2_duplicate,
            Version::V3 => hooks.rules.v3_duplicate,
        };
        let (status, message) = match why {
            Refusal::Unknown => (404, "there is no such hook"),
            Refusal::Invalid => (400, "a field is missing or invalid"),
            Refusal::Duplicate => (duplicate, "there is a hook with this scope and destination"),
            Refusal::TooMany => (422, "the scope has the most hooks it may have"),
        };
        match self.version {
            Version::V2 => Answer::refusal(status, message),
            Version::V3 => render(status, &json!({ "status": status, "title": message, "errors": {} })),
        }
    }
}

fn admin(hooks: &Hooks) -> Answer {
    let now = Instant::now();
    let blocked: Vec<Value> = hooks
        .blocked_at(now)
        .map(|domain| {
            json!({
                "destination": domain.destination,
                "time_left": (domain.until - now).as_secs() + 1,
                "reasons": [],
            })
        })
        .collect();
    render(200, &json!({ "data": { "blocked_domains": blocked, "emails": hooks.emails }, "meta": {} }))
}

fn render(status: u16, value: &impl Serialize) -> Answer {
    Answer::json(status, serde_json::to_vec(value).expect("these values have string keys only"))
}
