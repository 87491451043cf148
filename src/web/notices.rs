//! The result of a form, shown once on the page that it leads back to. A link cannot forge one: it would have to know
//! the random key of a notice that is waiting.

use std::collections::VecDeque;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use parking_lot::Mutex;

use super::status::{ENGLISH, fill};
use crate::{humanize, object::ObjectId};

/// Most notices waiting to be shown.
const MOST: usize = 256;

/// What a form has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// One order is being resent.
    OrderResent(ObjectId),
    /// All failed orders are being resent; how many.
    OrdersResent(u64),
    /// Any other sentence.
    Said(String),
}

impl Notice {
    /// The sentence to show.
    pub fn sentence(&self) -> String {
        match self {
            Self::OrderResent(order) => fill(ENGLISH.order_resent, &[("order", &order.to_string())]),
            Self::OrdersResent(0) => ENGLISH.none_resent.to_owned(),
            Self::OrdersResent(count) => {
                let orders = format!("{} {}", humanize::count(*count, "order"), humanize::are(*count));
                fill(ENGLISH.orders_resent, &[("orders", &orders)])
            }
            Self::Said(said) => said.clone(),
        }
    }
}

/// Notices that have not been shown yet, with their keys.
#[derive(Default)]
pub(super) struct Notices(Mutex<VecDeque<(String, Notice)>>);

impl Notices {
    /// Answers a form: sends the browser back to `back` (a relative URL), where the notice is shown.
    pub fn lead_back(&self, status: StatusCode, notice: Notice, back: &str) -> HttpResponse {
        let location = self.location(notice, back);
        if status == StatusCode::SEE_OTHER {
            return HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish();
        }
        super::pages::led_back(status, &location)
    }

    /// The URL at which the notice is shown.
    pub fn location(&self, notice: Notice, back: &str) -> String {
        let key = format!("{:032x}", rand::random::<u128>());
        let mut waiting = self.0.lock();
        if waiting.len() >= MOST {
            waiting.pop_front();
        }
        waiting.push_back((key.clone(), notice));
        format!("{back}?notice={key}")
    }

    /// Takes the notice with this key, if there is one.
    pub fn take(&self, key: &str) -> Option<Notice> {
        let mut waiting = self.0.lock();
        let at = waiting.iter().position(|(known, _)| known == key)?;
        waiting.remove(at).map(|(_, notice)| notice)
    }
}
