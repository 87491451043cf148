//! Orders are cut out of lists byte for byte; entries that are no orders are left out; dates are read in both forms.

use bytes::Bytes;
use onetribe_relay::{
    clock::Timestamp,
    http::Failure,
    object::{ObjectId, Snapshot},
    source::bigcommerce::orders::{read_order, read_orders},
};
use proptest::prelude::*;

fn cut(list: impl AsRef<[u8]>) -> Vec<(i64, String)> {
    let rows = read_orders(&Bytes::copy_from_slice(list.as_ref())).unwrap();
    rows.into_iter().map(|row| (row.id.number().unwrap(), String::from_utf8(row.body.to_vec()).unwrap())).collect()
}

fn read(body: &str) -> Result<Snapshot, Failure> {
    read_order(Bytes::copy_from_slice(body.as_bytes()))
}

/// Orders in unusual but valid JSON: each must come out exactly as written here.
const ODD: [&str; 14] = [
    r#"{"id":1}"#,
    "{ \"id\"\t:\r\n 2 , \"a\" : [ ] }",
    r#"{"id":3,"note":"\u00e9\u0000\ud83d\ude00\/\b é 😀"}"#,
    r#"{"id":4,"money":"62.6793","big":123456789012345678901234567890,"small":1e-400,"huge":1e999,"zero":-0.0,"trail":1.50}"#,
    r#"{"note":"] , { \" \\","id":5}"#,
    r#"{"id":6,"note":"\\\\\"}]"}"#,
    r#"{"id":7,"half":"\ud800"}"#,
    r#"{"id":8,"zip":78108,"zip":"078108"}"#,
    r#"{"id":9,"":null,"id ":10,"ID":11,"nested":{"id":12}}"#,
    r#"{"\u0069d":10}"#,
    r#"{"id":9223372036854775807,"status_id":99}"#,
    r#"{"id":12,"status_id":"7","date_modified":5}"#,
    r#"{"id":13,"status_id":null,"date_modified":null}"#,
    r#"{"id":14,"status_id":7.5,"date_modified":"soon"}"#,
];

#[test]
fn each_order_comes_out_with_its_exact_bytes() {
    for (before, between, after) in [("[", ",", "]"), (" [\n", "\t,\r\n ", " ] \n")] {
        let list = format!("{before}{}{after}", ODD.join(between));
        let rows: Vec<_> = cut(list).into_iter().map(|row| row.1).collect();
        assert_eq!(rows, ODD);
    }
    let fixture = sandbox::order::FIXTURE;
    let rows = cut(format!("[{fixture},{fixture}]"));
    assert_eq!(rows, [(218, fixture.trim().to_owned()), (218, fixture.trim().to_owned())]);
}

#[test]
fn a_row_shares_the_lists_memory() {
    let list = Bytes::from(format!("[{}]", ODD.join(",")));
    let span = list.as_ptr_range();
    for row in read_orders(&list).unwrap() {
        let own = row.body.as_ptr_range();
        assert!(span.start <= own.start && own.end <= span.end);
    }
}

#[test]
fn a_row_that_is_no_order_is_left_out_and_its_neighbours_stay() {
    for odd in [
        "null",
        "5",
        r#""text""#,
        "[]",
        "{}",
        r#"[218]"#,
        r#"[218,7,"Mon, 11 Mar 2019 15:17:25 +0000"]"#,
        r#"{"id":0}"#,
        r#"{"id":-1}"#,
        r#"{"id":1.5}"#,
        r#"{"id":null}"#,
        r#"{"id":9223372036854775808}"#,
        r#"{"order":{"id":1}}"#,
        r#"{"id":1,"id":2}"#,
    ] {
        let ids: Vec<_> = cut(format!(r#"[{{"id":1}},{odd},{{"id":2}}]"#)).into_iter().map(|row| row.0).collect();
        assert_eq!(ids, [1, 2], "{odd}");
        assert_eq!(read(odd).unwrap_err(), Failure::NotJson, "{odd}");
    }
}

#[test]
fn an_empty_list_is_one_and_no_list_is_an_error() {
    assert_eq!(cut("[]"), []);
    assert_eq!(cut(" [ ] "), []);
    for odd in [
        &b"null"[..],
        b"{}",
        br#"{"id":1}"#,
        br#"{"data":[]}"#,
        br#"[{"status":500,"message":"An internal error has occurred."}]"#,
        b"[null]",
        b"[",
        br#"[{"id":1}"#,
        br#"[{"id":1}]]"#,
        br#"[{"id":1},]"#,
        b"\xff",
        b" ",
    ] {
        assert_eq!(read_orders(&Bytes::copy_from_slice(odd)).unwrap_err(), Failure::NotJson, "{odd:?}");
    }
}

#[test]
fn an_order_is_whole_json_or_nothing() {
    for odd in ["", " ", "{", r#"{"id":1"#, r#"{"id":1}x"#, r#"{"id":1}{"id":2}"#, r#"{"id":1,}"#, r#"{id:1}"#, "null"]
    {
        assert_eq!(read(odd).unwrap_err(), Failure::NotJson, "{odd}");
    }
    assert_eq!(read("<html>{\"id\":1}").unwrap_err(), Failure::Html(200), "a web page is nobody's order");
    assert_eq!(read_orders(&Bytes::from(" <html>")).unwrap_err(), Failure::Html(200));
    let marked = "\u{feff}{\"id\":1}";
    assert_eq!(read(marked).unwrap().body, marked, "a byte order mark is kept with the rest");
    assert_eq!(cut("\u{feff}[{\"id\":1}]"), [(1, "{\"id\":1}".to_owned())]);
    let deep = format!(r#"{{"id":1,"deep":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(read(&deep).unwrap().id, ObjectId::Number(1), "what is not looked at may be as deep as it likes");
    assert_eq!(read(" \r\n\t{\"id\":1} \n").unwrap().body, " \r\n\t{\"id\":1} \n", "a single order is kept whole");
}

#[test]
fn the_guides_own_order_is_read() {
    let order = read(sandbox::order::FIXTURE).unwrap();
    assert_eq!((order.id, order.status.as_deref()), (ObjectId::Number(218), Some("7")));
    // date -d 'Mon, 11 Mar 2019 15:17:25 +0000' +%s
    assert_eq!(order.modified, Some(Timestamp::from_seconds(1_552_317_445)));
    assert_eq!(order.body, sandbox::order::FIXTURE);
}

#[test]
fn dates_are_read_as_rfc_2822_and_as_rfc_3339() {
    let modified =
        |text: &str| read(&serde_json::json!({"id": 1, "date_modified": text}).to_string()).unwrap().modified;
    for text in [
        "Mon, 11 Mar 2019 15:17:25 +0000",
        "11 Mar 2019 15:17:25 +0000",
        "Mon, 11 Mar 2019 16:17:25 +0100",
        "Mon, 11 Mar 2019 10:17:25 -0500",
        "Mon, 11 Mar 2019 15:17:25 GMT",
        "2019-03-11T15:17:25Z",
        "2019-03-11T15:17:25.000Z",
        "2019-03-11T15:17:25+00:00",
        "2019-03-11T17:17:25+02:00",
        "2019-03-11 15:17:25Z",
    ] {
        assert_eq!(modified(text), Some(Timestamp::from_seconds(1_552_317_445)), "{text}");
    }
    assert_eq!(modified("2019-03-11T15:17:25.250Z"), Some(Timestamp::from_millis(1_552_317_445_250)));
    for text in [
        "",
        "0",
        "1552317445",
        "yesterday",
        "2019-03-11",
        "2019-03-11T15:17:25",
        "11/03/2019",
        "Mon, 31 Feb 2019 15:17:25 +0000",
        "0000-00-00 00:00:00",
    ] {
        assert_eq!(modified(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"[\[\]{}",:\\0-9a-z ]{0,80}"#) {
        for body in [Bytes::from(bytes), Bytes::from(text)] {
            let _ = read_order(body.clone());
            let _ = read_orders(&body);
        }
    }

    #[test]
    fn any_orders_with_any_spacing_come_out_as_they_went_in(
        rows in prop::collection::vec((1..i64::MAX, ".*", "[ \t\r\n]{0,3}", "[ \t\r\n]{0,3}"), 0..20),
    ) {
        let orders: Vec<String> = rows.iter().map(|(id, note, space, _)| {
            let note = serde_json::to_string(note).unwrap();
            format!(r#"{{{space}"note":{note}{space},"id"{space}:{id}}}"#)
        }).collect();
        let list: Vec<String> = orders.iter().zip(&rows).map(|(order, row)| format!("{}{order}{}", row.2, row.3)).collect();
        let expected: Vec<_> = rows.iter().map(|row| row.0).zip(orders).collect();
        prop_assert_eq!(cut(format!("[{}]", list.join(","))), expected);
    }
}

#[test]
fn texts_that_are_not_utf_8_keep_no_list_from_being_cut() {
    let list = Bytes::from_static(
        b"[{\"id\":1,\"n\":\"\xff\xfe\"}, {\"id\":2,\"n\":\"\xc3\"} ,{\"id\":3,\"n\":\"\xc3\xa9\"}]",
    );
    let rows = read_orders(&list).unwrap();
    let bodies: Vec<&[u8]> = rows.iter().map(|row| &*row.body).collect();
    let whole: [&[u8]; 3] =
        [b"{\"id\":1,\"n\":\"\xff\xfe\"}", b"{\"id\":2,\"n\":\"\xc3\"}", b"{\"id\":3,\"n\":\"\xc3\xa9\"}"];
    assert_eq!(bodies, whole);
}
