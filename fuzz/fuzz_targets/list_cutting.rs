//! Any bytes as a list of a store's orders, of either kind: never a panic, each row is in the list byte for byte, and
//! reads the same on its own.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    http::Failure,
    object::{Digest, Snapshot},
    source::{
        bigcommerce::orders::{read_order, read_orders},
        cut::cut_list,
        woocommerce::objects::{read_object, read_objects},
    },
};

/// A row by itself, and a whole list, of one kind of store.
type Readers = (fn(Bytes) -> Result<Snapshot, Failure>, fn(&Bytes) -> Result<Vec<Snapshot>, Failure>);
const KINDS: [Readers; 2] = [(read_order, read_orders), (read_object, read_objects)];

fuzz_target!(|input: &[u8]| {
    let list = Bytes::copy_from_slice(input);
    let Ok(pieces) = cut_list(&list) else { return };
    for (read_row, read_list) in KINDS {
        is_cut_well(&list, &pieces, read_row, read_list);
    }
});

fn is_cut_well(
    list: &Bytes,
    pieces: &[Bytes],
    read_row: fn(Bytes) -> Result<Snapshot, Failure>,
    read_list: fn(&Bytes) -> Result<Vec<Snapshot>, Failure>,
) {
    let span = list.as_ptr() as usize..list.as_ptr() as usize + list.len();
    let Ok(rows) = read_list(list) else {
        // A list of something else, such as v2's errors.
        let is_passed_over = pieces.is_empty() || pieces.iter().any(|piece| read_row(piece.clone()).is_ok());
        assert!(!is_passed_over, "an order was passed over");
        return;
    };
    assert!(rows.len() <= pieces.len(), "more orders than rows");
    for row in rows {
        let at = row.body.as_ptr() as usize;
        assert!(span.contains(&at) && at + row.body.len() <= span.end, "not a piece of the list");
        assert_eq!((row.body.first(), row.body.last()), (Some(&b'{'), Some(&b'}')), "not an object alone");
        let alone = read_row(row.body.clone()).expect("reads alone as it did in the list");
        assert_eq!((alone.id, alone.status, alone.modified), (row.id, row.status, row.modified));
        // White space between tokens changes nothing, so some is inserted before each end.
        let spaced = [b" \n", &row.body[..row.body.len() - 1], b"\t}\r"].concat();
        assert_eq!(Digest::of(&spaced), Digest::of(&row.body));
    }
}
