use proptest::prelude::*;

use super::*;

/// Tuesday, 5 March 2019, 21:40:11.123 UTC.
const AT: Timestamp = Timestamp::from_millis(1_551_822_011_123);

fn parse(pattern: &str) -> DateFormat {
    DateFormat::parse(pattern).expect(pattern)
}

fn zoned(name: &str) -> TimeZone {
    super::zone::parse(name).expect(name)
}

#[test]
fn java_s_letters_write_what_java_writes() {
    for (pattern, zone, text) in [
        ("EEE, dd MMM yyyy HH:mm:ss Z", "GMT", "Tue, 05 Mar 2019 21:40:11 +0000"),
        ("EEE, dd MMM yyyy HH:mm:ss z", "GMT", "Tue, 05 Mar 2019 21:40:11 GMT"),
        ("yyyy-MM-dd'T'HH:mm:ss'Z'", "GMT", "2019-03-05T21:40:11Z"),
        ("yyyy-MM-dd'T'HH:mm:ss'", "GMT", "2019-03-05T21:40:11"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "GMT", "2019-03-05T21:40:11.123Z"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "-6:00", "2019-03-05T15:40:11-06:00"),
        ("yyyy-MM-dd'T'HH:mm:ssXX", "-6:00", "2019-03-05T15:40:11-0600"),
        ("yyyy-MM-dd'T'HH:mm:ssX", "-6:00", "2019-03-05T15:40:11-06"),
        ("HH:mm z", "-6:00", "15:40 GMT-06:00"),
        ("HH:mm z", "America/Chicago", "15:40 CST"),
        ("HH:mm Z", "MST", "14:40 -0700"),
        ("EEEE d MMMM y G", "GMT", "Tuesday 5 March 2019 AD"),
        ("M/d/yy h:mm a", "GMT", "3/5/19 9:40 PM"),
        ("K k u D", "GMT", "9 21 2 64"),
        ("ssSSSSSS", "GMT", "11123000"),
        ("h 'o''clock'", "GMT", "9 o'clock"),
        ("''yyyy''", "GMT", "'2019'"),
        ("YYYYMMddHHmmss", "GMT", "20190305214011"),
        ("milliseconds", "GMT", "1551822011123"),
    ] {
        assert_eq!(parse(pattern).format(AT, &zoned(zone)), text, "{pattern}");
    }
}

#[test]
fn dates_are_read_as_java_reads_them() {
    let second = Some(Timestamp::from_millis(1_551_822_011_000));
    for (pattern, zone, text, read) in [
        ("EEE, dd MMM yyyy HH:mm:ss Z", "GMT", "Tue, 05 Mar 2019 21:40:11 +0000", second),
        ("EEE, dd MMM yyyy HH:mm:ss Z", "GMT", "Tue,  5 march 2019 15:40:11 -0600", second),
        ("EEE, dd MMM yyyy HH:mm:ss z", "MST", "Tue, 05 Mar 2019 21:40:11 GMT", second),
        ("EEE, dd MMM yyyy HH:mm:ss z", "GMT", "Tue, 05 Mar 2019 13:40:11 PST", second),
        ("yyyy-MM-dd'T'HH:mm:ss'", "GMT", "2019-03-05T21:40:11", second),
        // What follows the pattern is ignored, and the configured zone counts.
        ("yyyy-MM-dd'T'HH:mm:ss", "GMT", "2019-03-05T21:40:11+02:00", second),
        ("yyyy-MM-dd'T'HH:mm:ss", "MST", "2019-03-05T14:40:11", second),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "GMT", "2019-03-05T21:40:11Z", second),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "GMT", "2019-03-05T23:40:11+02:00", second),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSX", "GMT", "2019-03-05T21:40:11.123456789Z", Some(AT)),
        ("yyyyMMddHHmmss", "GMT", "20190305214011", second),
        ("M/d/yy h:mm:ss a", "GMT", "3/5/19 9:40:11 pm", second),
        ("y-D HH:mm:ss", "GMT", "2019-64 21:40:11", second),
        ("milliseconds", "GMT", "1551822011123", Some(AT)),
        ("yyyy-MM-dd", "GMT", "2019-02-30", None),
        ("yyyy-MM-dd'T'HH", "GMT", "2019-02-03 10", None),
        ("yyyy-MM-dd HH", "GMT", "2019-02-03 24", None),
        ("yyyyMMdd", "GMT", "201903", None),
        ("milliseconds", "GMT", "soon", None),
        ("HH", "GMT", "", None),
        ("MMM", "GMT", "Mä", None),
        ("yyyy", "GMT", "999999999", None),
    ] {
        assert_eq!(parse(pattern).read(text, &zoned(zone)), read, "{pattern}: {text}");
    }
}

#[test]
fn numbers_are_read_from_json() {
    let millis = parse("milliseconds");
    assert_eq!(millis.read_json(&serde_json::json!(1_551_822_011_123_i64), &TimeZone::UTC), Some(AT));
    assert_eq!(millis.read_json(&serde_json::json!(1_551_822_011_123.7), &TimeZone::UTC), Some(AT));
    assert_eq!(millis.read_json(&serde_json::json!("1551822011123"), &TimeZone::UTC), Some(AT));
    assert_eq!(millis.read_json(&serde_json::json!(null), &TimeZone::UTC), None);
    assert_eq!(millis.read_json(&serde_json::json!(1e300), &TimeZone::UTC), Some(Timestamp::from_millis(i64::MAX)));
    let year = parse("yyyy").read_json(&serde_json::json!(1971), &TimeZone::UTC);
    assert_eq!(year, Some(Timestamp::from_seconds(365 * 86_400)));
}

#[test]
fn formats_that_cannot_be_say_why() {
    for (pattern, error) in [
        ("", FormatError::Empty),
        ("  ", FormatError::Empty),
        ("'", FormatError::Empty),
        ("yyyy-MM-dd'T", FormatError::Unbalanced),
        ("yyyy-MM-ddTHH:mm", FormatError::UnknownLetter('T')),
        ("YYYY-MM-dd ww", FormatError::Unsupported('w')),
        ("HH:mmXXXX", FormatError::TooManyX),
        ("<format>", FormatError::UnknownLetter('f')),
    ] {
        assert_eq!(DateFormat::parse(pattern), Err(error), "{pattern}");
    }
    assert_eq!(DateFormat::parse(&"y".repeat(257)), Err(FormatError::TooLong));
}

proptest! {
    #[test]
    fn no_pattern_text_or_moment_panics(
        pattern in "[a-zA-Z' ,:.-]{0,24}|\\PC{0,16}", text in "\\PC{0,40}", millis: i64
    ) {
        if let Ok(format) = DateFormat::parse(&pattern) {
            let written = format.format(Timestamp::from_millis(millis), &zoned("America/Chicago"));
            let _ = format.read(&written, &TimeZone::UTC);
            let _ = format.read(&text, &TimeZone::UTC);
        }
    }

    #[test]
    fn what_is_written_is_read_back(millis in 0_i64..4_000_000_000_000, hours in -14_i32..15) {
        let at = Timestamp::from_millis(millis);
        let zone = TimeZone::fixed(Offset::from_seconds(hours * 3600).expect("an offset"));
        for pattern in [
            "EEE, dd MMM yyyy HH:mm:ss.SSS Z", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "yyyyMMddHHmmssSSS", "milliseconds",
            "d MMMM y h:mm:ss.SSS a z", "yyyy-D K:m:s.S a X"]
        {
            let format = parse(pattern);
            prop_assert_eq!(format.read(&format.format(at, &zone), &zone), Some(at), "{}", pattern);
        }
    }
}
