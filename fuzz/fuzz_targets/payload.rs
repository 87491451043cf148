//! Any bytes as a genuine callback's body: never a panic, and an order event only with an order id that is in the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onetribe_relay::source::bigcommerce::payload::{self, Payload};

fuzz_target!(|body: &[u8]| {
    match payload::parse("abcde", body) {
        Ok(Payload::Order(event)) => {
            let digits = event.order.to_string();
            assert!(event.order.number().is_some_and(|number| number > 0));
            // A string may write its digits as escapes.
            let escaped = body.contains(&b'\\');
            let stands_there = body.windows(digits.len()).any(|part| part == digits.as_bytes());
            assert!(escaped || stands_there, "{digits} is not in the body");
        }
        Ok(Payload::NotAboutOrders { scope } | Payload::Unreadable { scope }) => {
            assert!(scope.chars().count() <= 80 && !scope.chars().any(char::is_control));
        }
        Ok(Payload::ForeignStore) | Err(_) => {}
    }
});
