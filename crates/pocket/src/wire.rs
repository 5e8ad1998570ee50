//! Reading protobuf that strangers sent: every error names the field and the offset.
//!
//! What is read is what prost and gogoproto read: a repeated scalar field counts with its last value, a repeated
//! message is merged, unknown fields are skipped. Where the two differ the stricter one counts: text must be UTF-8,
//! and a number must fit 64 bits.

use thiserror::Error;

/// Most groups within groups that are skipped. Groups are a relic that no message here has; an unknown one is skipped
/// as everywhere else, and the limit keeps it from using up the stack. prost's own limit is the same.
const GROUP_DEPTH_MAX: u32 = 100;

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}, byte {offset}: {fault}")]
pub struct DecodeError {
    /// Message and field, as in `SessionHeader.service_id`; the message alone where no field was reached.
    pub field: &'static str,
    /// Where the thing that is wrong begins, in bytes from the start of the input.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The input ends first.
    #[error("{needed} more bytes are announced, {left} are left")]
    Truncated {
        /// How many bytes the field needs.
        needed: u64,
        /// How many are left in the message that holds it.
        left: usize,
    },
    /// A number of more than 64 bits, or without an end.
    #[error("a number does not fit 64 bits")]
    Number,
    /// The key of a field is 0 or too large.
    #[error("{0} is not a field number")]
    FieldNumber(u64),
    /// The field has another type.
    #[error("wire type {found} where {expected} belongs")]
    WireType {
        /// The type that is there.
        found: u8,
        /// The type that belongs there.
        expected: u8,
    },
    /// The type does not exist, or a group ends that was not begun.
    #[error("wire type {0} does not belong here")]
    UnknownWireType(u8),
    /// Groups within groups without an end.
    #[error("groups are nested more than {GROUP_DEPTH_MAX} deep")]
    Groups,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// More entries than are allowed.
    #[error("more than {0} entries")]
    Entries(usize),
}

/// The wire type of numbers.
pub(crate) const VARINT: u8 = 0;
/// The wire type of text, bytes and messages.
pub(crate) const LENGTH: u8 = 2;
const FIXED_64: u8 = 1;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED_32: u8 = 5;

/// A message that knows how to take in one field.
pub(crate) trait Fields {
    /// The message's name.
    const NAME: &'static str;

    /// Takes in the value of a field, or answers `false` to have it skipped.
    fn take(&mut self, key: Key, reader: &mut Reader<'_>) -> Result<bool, DecodeError>;
}

/// The key before a value.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    /// The number of the field.
    pub(crate) number: u32,
    wire_type: u8,
    offset: usize,
}

/// A place in a message.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    end: usize,
}

/// Decodes a message.
pub(crate) fn decode<M: Fields + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut message = M::default();
    let mut reader = Reader {
        rest: bytes,
        end: bytes.len(),
    };
    reader.fields(&mut message)?;
    Ok(message)
}

impl<'a> Reader<'a> {
    /// Where the reader stands, in bytes from the start of the input.
    pub(crate) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Reads the message in a field into `message`.
    pub(crate) fn message<M: Fields>(
        &mut self,
        key: Key,
        field: &'static str,
        message: &mut M,
    ) -> Result<(), DecodeError> {
        key.expect(LENGTH, field)?;
        let inner = self.slice(field)?;
        let mut reader = Reader {
            rest: inner,
            end: self.offset(),
        };
        reader.fields(message)
    }

    /// Reads text into `text`.
    pub(crate) fn text(
        &mut self,
        key: Key,
        field: &'static str,
        text: &mut String,
    ) -> Result<(), DecodeError> {
        key.expect(LENGTH, field)?;
        let inner = self.slice(field)?;
        let found = str::from_utf8(inner).map_err(|error| DecodeError {
            field,
            offset: self.offset() - inner.len() + error.valid_up_to(),
            fault: Fault::Text,
        })?;
        found.clone_into(text);
        Ok(())
    }

    /// Reads bytes into `bytes`.
    pub(crate) fn bytes(
        &mut self,
        key: Key,
        field: &'static str,
        bytes: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        key.expect(LENGTH, field)?;
        let inner = self.slice(field)?;
        inner.clone_into(bytes);
        Ok(())
    }

    /// Reads a number.
    pub(crate) fn number(&mut self, key: Key, field: &'static str) -> Result<u64, DecodeError> {
        key.expect(VARINT, field)?;
        self.varint(field)
    }

    fn fields<M: Fields>(&mut self, message: &mut M) -> Result<(), DecodeError> {
        while !self.rest.is_empty() {
            let key = self.key(M::NAME)?;
            if !message.take(key, self)? {
                self.skip(key, M::NAME, 0)?;
            }
        }
        Ok(())
    }

    fn key(&mut self, message: &'static str) -> Result<Key, DecodeError> {
        let offset = self.offset();
        let raw = self.varint(message)?;
        let number = u32::try_from(raw).unwrap_or_default() >> 3;
        if number == 0 {
            return Err(DecodeError {
                field: message,
                offset,
                fault: Fault::FieldNumber(raw >> 3),
            });
        }
        let wire_type = (raw & 7) as u8;
        Ok(Key {
            number,
            wire_type,
            offset,
        })
    }

    fn skip(&mut self, key: Key, message: &'static str, depth: u32) -> Result<(), DecodeError> {
        let fault = |fault| DecodeError {
            field: message,
            offset: key.offset,
            fault,
        };
        match key.wire_type {
            VARINT => self.varint(message).map(|_| ()),
            FIXED_64 => self.advance(8, message).map(|_| ()),
            FIXED_32 => self.advance(4, message).map(|_| ()),
            LENGTH => self.slice(message).map(|_| ()),
            GROUP_START if depth >= GROUP_DEPTH_MAX => Err(fault(Fault::Groups)),
            GROUP_START => loop {
                let inner = self.key(message)?;
                if inner.wire_type != GROUP_END {
                    self.skip(inner, message, depth + 1)?;
                } else if inner.number == key.number {
                    return Ok(());
                } else {
                    return Err(fault(Fault::UnknownWireType(GROUP_END)));
                }
            },
            other => Err(fault(Fault::UnknownWireType(other))),
        }
    }

    fn slice(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.varint(field)?;
        self.advance(length, field)
    }

    fn advance(&mut self, length: u64, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let within = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let Some((head, rest)) = within else {
            return Err(DecodeError {
                field,
                offset: self.offset(),
                fault: Fault::Truncated {
                    needed: length,
                    left: self.rest.len(),
                },
            });
        };
        self.rest = rest;
        Ok(head)
    }

    fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let offset = self.offset();
        let fault = |fault| DecodeError {
            field,
            offset,
            fault,
        };
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return Err(fault(Fault::Number));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(fault(Fault::Truncated {
            needed: self.rest.len() as u64 + 1,
            left: self.rest.len(),
        }))
    }
}

impl Key {
    fn expect(self, expected: u8, field: &'static str) -> Result<(), DecodeError> {
        if self.wire_type == expected {
            return Ok(());
        }
        Err(DecodeError {
            field,
            offset: self.offset,
            fault: Fault::WireType {
                found: self.wire_type,
                expected,
            },
        })
    }
}
