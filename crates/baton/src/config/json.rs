//! JSON as it was written: numbers keep all their digits, and a field given twice is seen.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting: a configuration has six levels, and reading is recursive.
const DEPTH_MAX: usize = 32;

/// A JSON value. It may hold secrets and so has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// Its digits, sign, point and exponent.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order written.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads a JSON text. The error tells line and column, and none of the values.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        read(raw, 0)
    }

    /// The text, if this is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The items, if this is a list.
    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// Whether it is an object with such a field.
    pub(crate) fn has(&self, field: &str) -> bool {
        matches!(self, Self::Object(entries) if entries.iter().any(|(name, _)| name == field))
    }

    /// What kind of value this is, with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The value as JSON if it is short by nature, otherwise its kind.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::Null | Self::List(_) | Self::Object(_) => self.kind().to_owned(),
        }
    }
}

fn read(raw: &RawValue, depth: usize) -> Result<Node, String> {
    if depth > DEPTH_MAX {
        return Err(format!("is nested deeper than {DEPTH_MAX} levels"));
    }
    let text = raw.get();
    let failed = |error: serde_json::Error| error.to_string();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Entries(entries) = serde_json::from_str(text).map_err(failed)?;
            entries
                .into_iter()
                .map(|(name, raw)| Ok((name, read(raw, depth + 1)?)))
                .collect::<Result<_, String>>()
                .map(Node::Object)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
            items
                .into_iter()
                .map(|raw| read(raw, depth + 1))
                .collect::<Result<_, String>>()
                .map(Node::List)
        }
        Some(b'"') => serde_json::from_str(text).map(Node::Text).map_err(failed),
        Some(b't' | b'f') => serde_json::from_str(text).map(Node::Bool).map_err(failed),
        Some(b'n') => Ok(Node::Null),
        _ => Ok(Node::Number(text.to_owned())),
    }
}

/// The fields of an object, in order, repetitions included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<String, &RawValue>()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"a": 340282366920938463463374607431768211455, "b": [-1, 2.5e3, true]}"#;
        let expected = Node::Object(vec![
            (
                "a".to_owned(),
                Node::Number("340282366920938463463374607431768211455".to_owned()),
            ),
            (
                "b".to_owned(),
                Node::List(vec![
                    Node::Number("-1".to_owned()),
                    Node::Number("2.5e3".to_owned()),
                    Node::Bool(true),
                ]),
            ),
        ]);
        assert!(Node::parse(text).is_ok_and(|node| node == expected));
    }

    #[test]
    fn repeated_fields_are_kept_apart() {
        let node = Node::parse(r#"{"a": null, "a": "\u0041"}"#);
        let values: Vec<String> = match node {
            Ok(Node::Object(entries)) => entries.iter().map(|(_, node)| node.shown()).collect(),
            Ok(other) => vec![other.shown()],
            Err(error) => vec![error],
        };
        assert_eq!(values, ["null", "\"A\""]);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let error = Node::parse("{\"a\": 1,\n \"b\": }").err();
        assert_eq!(error.as_deref(), Some("expected value at line 2 column 7"));
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert_eq!(
            Node::parse(&deep).err().as_deref(),
            Some("is nested deeper than 32 levels")
        );
    }
}
