//! Reads what scripts and commands answer with.

use redis::Value;

/// The text of an answer that is one.
pub(crate) fn text(value: &Value) -> Option<String> {
    if let Value::BulkString(bytes) = value {
        return String::from_utf8(bytes.clone()).ok();
    }
    if let Value::SimpleString(text) | Value::VerbatimString { text, .. } = value {
        return Some(text.clone());
    }
    if let Value::Int(number) = value {
        return Some(number.to_string());
    }
    None
}

/// A number in an answer.
pub(crate) fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

/// The parts of an answer that is a list.
pub(crate) fn list(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(parts) = value {
        Some(parts)
    } else {
        None
    }
}

/// The bytes of an answer, without a copy.
pub(crate) fn bytes(value: Value) -> Option<bytes::Bytes> {
    if let Value::BulkString(bytes) = value {
        Some(bytes.into())
    } else {
        None
    }
}

/// A script's answer: its first word, and the parts that follow.
pub(crate) struct Answer {
    pub(crate) word: String,
    pub(crate) parts: Vec<Value>,
}

impl Answer {
    pub(crate) fn of(value: Value) -> Option<Self> {
        let mut parts = list(value)?;
        if parts.is_empty() {
            return None;
        }
        let word = text(&parts.remove(0))?;
        Some(Self { word, parts })
    }

    pub(crate) fn text(&self, index: usize) -> Option<String> {
        text(self.parts.get(index)?)
    }

    pub(crate) fn number(&self, index: usize) -> Option<u64> {
        number(self.parts.get(index)?)
    }
}
