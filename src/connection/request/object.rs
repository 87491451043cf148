//! A JSON object read field by field; each fault names the field's path.

use std::fmt;

use serde_json::{Map, Value};

/// A field that is wrong, missing or unknown: its path, and what would be right. Never holds the value that was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FieldProblem {
    /// The field's path, such as `source.access_token`; `body` for the whole body.
    pub field: String,
    /// What is wrong and what to do: "must be …", "is missing".
    pub problem: String,
}

impl FieldProblem {
    /// A problem of the field with this path.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

/// A field's value, or what is wrong with it.
pub(super) type Read<T> = Result<T, FieldProblem>;

/// A JSON object and its path in the body. A field that is `null` counts as missing.
pub(super) struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The whole body, which must be an object.
    pub fn whole(value: &'a Value) -> Read<Self> {
        match value {
            Value::Object(fields) => Ok(Self { path: String::new(), fields }),
            _ => Err(FieldProblem::new("body", "must be a JSON object")),
        }
    }

    /// The full path of one of its fields.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A problem of one of its fields.
    pub fn problem(&self, name: &str, problem: impl Into<String>) -> FieldProblem {
        FieldProblem::new(self.path(name), problem)
    }

    /// Refuses fields other than these.
    pub fn only(&self, known: &[&str]) -> Read<()> {
        match self.fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                // An unknown field's name may contain anything.
                let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
                Err(self.problem(&shown, format!("is unknown; the fields here are {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// Refuses fields that are null: a change gives new values, and leaves out what stays.
    pub fn without_nulls(&self) -> Read<()> {
        match self.fields.iter().find(|(_, value)| value.is_null()) {
            Some((name, _)) => Err(self.problem(name, "cannot be taken away; leave the field out to keep it as it is")),
            None => Ok(()),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A string, if it is given.
    pub fn text(&self, name: &str) -> Read<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.problem(name, "must be a text")),
        }
    }

    /// A string that passes `check`, if it is given.
    pub fn checked<T, P: fmt::Display>(&self, name: &str, check: impl FnOnce(&str) -> Result<T, P>) -> Read<Option<T>> {
        let text = self.text(name)?;
        text.map(check).transpose().map_err(|problem| self.problem(name, problem.to_string()))
    }

    /// A string that passes `check`; it must be given.
    pub fn required<T, P: fmt::Display>(&self, name: &str, check: impl FnOnce(&str) -> Result<T, P>) -> Read<T> {
        self.checked(name, check)?.ok_or_else(|| self.problem(name, "is missing"))
    }

    /// An object, if it is given.
    pub fn object(&self, name: &str) -> Read<Option<Object<'a>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Object { path: self.path(name), fields })),
            Some(_) => Err(self.problem(name, "must be an object")),
        }
    }

    /// A list, if it is given, each item with its path.
    pub fn list(&self, name: &str) -> Read<Option<Vec<(String, &'a Value)>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                let path = self.path(name);
                let items = items.iter().enumerate();
                Ok(Some(items.map(|(at, item)| (format!("{path}[{at}]"), item)).collect()))
            }
            Some(_) => Err(self.problem(name, "must be a list")),
        }
    }
}
