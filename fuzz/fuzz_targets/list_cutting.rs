//! Any bytes as a list of orders: never a panic, each row is in the list byte for byte, and reads the same on its own.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    object::Digest,
    source::{
        bigcommerce::orders::{read_order, read_orders},
        cut::cut_list,
    },
};

fuzz_target!(|input: &[u8]| {
    let list = Bytes::copy_from_slice(input);
    let Ok(pieces) = cut_list(&list) else { return };
    let span = list.as_ptr() as usize..list.as_ptr() as usize + list.len();
    let Ok(rows) = read_orders(&list) else {
        // A list of something else, such as v2's errors.
        assert!(
            !pieces.is_empty() && pieces.into_iter().all(|piece| read_order(piece).is_err()),
            "an order was passed over"
        );
        return;
    };
    assert!(rows.len() <= pieces.len(), "more orders than rows");
    for row in rows {
        let at = row.body.as_ptr() as usize;
        assert!(span.contains(&at) && at + row.body.len() <= span.end, "not a piece of the list");
        assert_eq!((row.body.first(), row.body.last()), (Some(&b'{'), Some(&b'}')), "not an object alone");
        let alone = read_order(row.body.clone()).expect("reads alone as it did in the list");
        assert_eq!((alone.id, alone.status, alone.modified), (row.id, row.status, row.modified));
        // White space between tokens changes nothing, so some is inserted before each end.
        let spaced = [b" \n", &row.body[..row.body.len() - 1], b"\t}\r"].concat();
        assert_eq!(Digest::of(&spaced), Digest::of(&row.body));
    }
});
