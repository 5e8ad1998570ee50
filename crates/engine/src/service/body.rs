//! Bodies that are read field by field: unknown fields are refused, and null is told from absence.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::number::shown;

/// Longest text of a name or an id that refers to something: enough for people, little in a list.
const TEXT_CHARS_MAX: usize = 256;

/// A JSON object.
pub(super) struct Body<'a> {
    place: String,
    fields: Vec<(String, &'a RawValue)>,
}

/// A field.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Absent,
    Null,
    Value(&'a RawValue),
}

impl<'a> Body<'a> {
    /// Opens an object. `place` is where it stands in the body, empty for the body itself. Fields that are not in
    /// `known`, or that are given twice, are refused.
    pub(super) fn open(place: &str, raw: &'a RawValue, known: &[&str]) -> Result<Self, String> {
        let whole = if place.is_empty() { "body" } else { place };
        if !raw.get().starts_with('{') {
            return Err(format!(
                "{whole} must be a JSON object; found {}",
                shown(raw)
            ));
        }
        let Entries(fields) =
            serde_json::from_str(raw.get()).map_err(|error| format!("{whole}: {error}"))?;
        let body = Self {
            place: place.to_owned(),
            fields,
        };
        for (index, (name, _)) in body.fields.iter().enumerate() {
            let place = body.place(name);
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                return Err(format!("{place} is not a known field; known are {known}"));
            }
            if body.fields[..index]
                .iter()
                .any(|(earlier, _)| earlier == name)
            {
                return Err(format!("{place} must be given once; found it twice"));
            }
        }
        Ok(body)
    }

    /// Where a field stands.
    pub(super) fn place(&self, name: &str) -> String {
        if self.place.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.place)
        }
    }

    pub(super) fn get(&self, name: &str) -> Given<'a> {
        match self.fields.iter().find(|(field, _)| field == name) {
            None => Given::Absent,
            Some((_, raw)) if raw.get() == "null" => Given::Null,
            Some((_, raw)) => Given::Value(raw),
        }
    }

    /// The value of a field; null is the same as absent.
    pub(super) fn value(&self, name: &str) -> Option<&'a RawValue> {
        match self.get(name) {
            Given::Absent | Given::Null => None,
            Given::Value(raw) => Some(raw),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        let place = self.place(name);
        self.value(name).map(|raw| text(&place, raw)).transpose()
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a RawValue, String> {
        let missing = || format!("{} is required; found nothing", self.place(name));
        self.value(name).ok_or_else(missing)
    }

    pub(super) fn required_text(&self, name: &str) -> Result<String, String> {
        text(&self.place(name), self.required(name)?)
    }
}

/// A text that is not empty and not longer than 256 characters.
pub(super) fn text(place: &str, raw: &RawValue) -> Result<String, String> {
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let fits =
        |text: &String| !text.trim().is_empty() && text.chars().nth(TEXT_CHARS_MAX).is_none();
    text.filter(fits).ok_or_else(|| {
        format!(
            "{place} must be a string of 1 to {TEXT_CHARS_MAX} characters; found {}",
            shown(raw)
        )
    })
}

pub(super) fn boolean(place: &str, raw: &RawValue) -> Result<bool, String> {
    let refuse = |_| format!("{place} must be true or false; found {}", shown(raw));
    serde_json::from_str(raw.get()).map_err(refuse)
}

/// The items of a list with their places.
pub(super) fn items<'a>(
    place: &str,
    raw: &'a RawValue,
    max: usize,
) -> Result<Vec<(String, &'a RawValue)>, String> {
    let items: Result<Vec<&RawValue>, _> = serde_json::from_str(raw.get());
    let items = items.map_err(|_| format!("{place} must be a list; found {}", shown(raw)))?;
    if items.len() > max {
        return Err(format!(
            "{place} must have at most {max} entries; found {}",
            items.len()
        ));
    }
    let items = items.into_iter().enumerate();
    Ok(items
        .map(|(index, item)| (format!("{place}[{index}]"), item))
        .collect())
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
