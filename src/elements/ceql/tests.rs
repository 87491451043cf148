use proptest::prelude::*;

use super::*;

fn terms(text: &str) -> Vec<(String, Operator, Vec<String>)> {
    let expression = Expression::parse(text).expect(text);
    let terms = expression.conjunction().expect("terms joined by AND");
    terms.into_iter().map(|term| (term.field.clone(), term.operator, term.values.clone())).collect()
}

#[test]
fn comparisons_are_read() {
    for (text, field, operator, values) in [
        ("email='a@b.example'", "email", Operator::Equal, &["a@b.example"][..]),
        (" status_id = 11 ", "status_id", Operator::Equal, &["11"]),
        ("lastUpdated>'2019-03-05T21:40:11Z'", "lastUpdated", Operator::Greater, &["2019-03-05T21:40:11Z"]),
        ("a <= 'x'", "a", Operator::LessOrEqual, &["x"]),
        ("a.b != 'O''Neil'", "a.b", Operator::NotEqual, &["O'Neil"]),
        (r"a = 'O\'Neil'", "a", Operator::Equal, &["O'Neil"]),
        ("a = ''", "a", Operator::Equal, &[""]),
        ("name like '%x%'", "name", Operator::Like, &["%x%"]),
        ("id IN (1, '2',3)", "id", Operator::In, &["1", "2", "3"]),
        ("a is null", "a", Operator::IsNull, &[]),
        ("((a='b'))", "a", Operator::Equal, &["b"]),
        ("order='ä'", "order", Operator::Equal, &["ä"]),
    ] {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        assert_eq!(terms(text), [(field.to_owned(), operator, values)], "{text}");
    }
}

#[test]
fn terms_are_joined() {
    assert_eq!(terms("a='1' AND (b='2' and c='3')").len(), 3);
    let either = Expression::parse("a='1' AND b='2' OR c='3'").expect("CEQL");
    assert_eq!(either.conjunction(), None);
    assert!(matches!(either, Expression::Or(left, _) if left.conjunction().expect("AND").len() == 2));
}

#[test]
fn places_of_values_are_told() {
    let text = "a = 'x' AND b IN (1,2)";
    let expression = Expression::parse(text).expect("CEQL");
    let places: Vec<&str> =
        expression.conjunction().expect("AND").iter().map(|term| &text[term.values_at.clone()]).collect();
    assert_eq!(places, ["'x'", "(1,2)"]);
}

#[test]
fn what_is_no_ceql_says_where() {
    for (text, error) in [
        ("", CeqlError::Expected("the name of a field", 0)),
        ("a", CeqlError::Expected("an operator (=, !=, <, <=, >, >=, LIKE, IN, IS NULL)", 1)),
        ("a=", CeqlError::Expected("a value", 2)),
        ("a='b", CeqlError::OpenQuote(2)),
        ("a='b' c='d'", CeqlError::Expected("`AND`, `OR` or the end", 6)),
        ("(a='b'", CeqlError::Expected("`)`", 6)),
        ("a IN 'b'", CeqlError::Expected("`(`", 5)),
        ("a IS 'b'", CeqlError::Expected("an operator (=, !=, <, <=, >, >=, LIKE, IN, IS NULL)", 5)),
    ] {
        assert_eq!(Expression::parse(text), Err(error), "{text}");
    }
    assert_eq!(Expression::parse(&"(".repeat(100)), Err(CeqlError::TooDeep));
    assert_eq!(Expression::parse(&"a".repeat(5000)), Err(CeqlError::TooLong));
}

proptest! {
    #[test]
    fn no_text_panics(
        text in "\\PC{0,60}|[a-c='\"()<>! ,\\\\]{0,40}|(a|b|=|'x'| AND | OR |\\(|\\)| IN | LIKE ){0,30}"
    ) {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.conjunction();
        }
    }

    #[test]
    fn any_value_survives_quoting(value in "\\PC{0,40}") {
        let quoted = format!("field='{}'", value.replace('\\', "\\\\").replace('\'', "''"));
        prop_assert_eq!(terms(&quoted), [("field".to_owned(), Operator::Equal, vec![value])]);
    }
}
