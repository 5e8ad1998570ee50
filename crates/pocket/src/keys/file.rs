//! Files of keys, in the two formats of the reference relayer.
//!
//! Both are YAML, of which JSON is a part. Of YAML only what key files need is taken: mappings, lists and text;
//! anchors, aliases and tags are refused, and with them every way to make a small file large: no more than 64 bytes for
//! each byte of the file and 32 KiB are allocated. Texts are erased after use as far as the parser lets go of them. No
//! error shows any part of a value.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::{Address, SecretKey, SecretKeyError};

/// Most bytes of a file: 10,000 keys take 700 kB.
pub const FILE_MAX: usize = 1 << 20;

/// Most keys of a file: more suppliers than the network has behind one relayer.
pub const KEYS_MAX: usize = 10_000;

/// Most levels of lists and mappings; a key file has two, and what surrounds the keys is ignored.
const DEPTH_MAX: usize = 16;

/// Why a file of keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}, line {line}, column {column}: {fault}")]
pub struct KeysError {
    /// The field, as in `keys[3]`; `file` where there is none.
    pub field: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub fault: KeysFault,
}

/// What is wrong with a file of keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeysFault {
    /// Too many bytes.
    #[error("{0} bytes, at most {FILE_MAX} are allowed")]
    Size(usize),
    /// Not YAML.
    #[error("is neither YAML nor JSON")]
    Syntax,
    /// Something of YAML that key files do not use.
    #[error("anchors, aliases and tags are not allowed")]
    Unsupported,
    /// Lists and mappings within each other.
    #[error("more than {DEPTH_MAX} levels")]
    Depth,
    /// Something else belongs there.
    #[error("must be {0}")]
    Kind(&'static str),
    /// The field is missing.
    #[error("is missing")]
    Missing,
    /// The field is there twice.
    #[error("is there twice")]
    Repeated,
    /// No keys.
    #[error("must not be empty")]
    Empty,
    /// Too many keys.
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// No key.
    #[error("{0}")]
    Key(SecretKeyError),
    /// A key that was there before.
    #[error("is the same key as keys[{0}]")]
    SameKey(usize),
    /// The address belongs to another key.
    #[error("is not the address of private_key_hex, which is {0}")]
    Address(Address),
    /// More than one document.
    #[error("a second document begins")]
    Document,
}

/// Reads a file with a list of keys:
///
/// ```yaml
/// keys:
///   - 2d00ef07...
///   - 0x1a11ef...
/// ```
///
/// # Errors
///
/// If it is anything else, a key is none, or there are none or two of the same: with the field, the line and the
/// column. Other fields are ignored.
pub fn parse_keys_file(text: &str) -> Result<Vec<SecretKey>, KeysError> {
    let mut source = Source::open(text)?;
    let mut keys = None;
    while let Some((name, at)) = source.next_name()? {
        if *name != "keys" {
            source.skip(0)?;
        } else if keys.is_some() {
            return Err(at.error("keys", KeysFault::Repeated));
        } else {
            keys = Some(source.list_of_keys(at)?);
        }
    }
    source.close()?;
    keys.ok_or_else(|| source.at.error("keys", KeysFault::Missing))
}

/// Reads a file with one key:
///
/// ```yaml
/// operator_address: pokt1...
/// private_key_hex: 2d00ef07...
/// ```
///
/// # Errors
///
/// If it is anything else, the key is none, or the address is not the key's: with the field, the line and the column.
/// Other fields are ignored.
pub fn parse_key_file(text: &str) -> Result<SecretKey, KeysError> {
    const ADDRESS: &str = "operator_address";
    const KEY: &str = "private_key_hex";
    let mut source = Source::open(text)?;
    let (mut address, mut key) = (None, None);
    while let Some((name, at)) = source.next_name()? {
        let field = match name.as_str() {
            ADDRESS if address.is_none() => ADDRESS,
            KEY if key.is_none() => KEY,
            ADDRESS => return Err(at.error(ADDRESS, KeysFault::Repeated)),
            KEY => return Err(at.error(KEY, KeysFault::Repeated)),
            _ => {
                source.skip(0)?;
                continue;
            }
        };
        let value = source.text(field)?;
        if field == ADDRESS {
            address = Some((value, source.at));
        } else {
            let parsed = SecretKey::parse(&value)
                .map_err(|error| source.at.error(KEY, KeysFault::Key(error)))?;
            key = Some(parsed);
        }
    }
    source.close()?;
    let missing = |field| source.at.error(field, KeysFault::Missing);
    let (address, at) = address.ok_or_else(|| missing(ADDRESS))?;
    let key = key.ok_or_else(|| missing(KEY))?;
    let own = key.public_key().address();
    if address.parse() != Ok(own) {
        return Err(at.error(ADDRESS, KeysFault::Address(own)));
    }
    Ok(key)
}

/// A place in a file.
#[derive(Clone, Copy)]
struct Place {
    line: usize,
    column: usize,
}

impl Place {
    fn of(marker: &Marker) -> Self {
        Self {
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }

    fn error(self, field: impl Into<String>, fault: KeysFault) -> KeysError {
        KeysError {
            field: field.into(),
            line: self.line,
            column: self.column,
            fault,
        }
    }
}

/// What a file consists of, as far as it matters here.
enum Part {
    Text(Zeroizing<String>, ScalarStyle),
    List,
    ListEnd,
    Map,
    MapEnd,
    Start,
    End,
}

struct Source<'a> {
    parser: Parser<'a, StrInput<'a>>,
    at: Place,
}

impl<'a> Source<'a> {
    /// Goes to the first field of the file.
    fn open(text: &'a str) -> Result<Self, KeysError> {
        let at = Place { line: 1, column: 1 };
        if text.len() > FILE_MAX {
            return Err(at.error("file", KeysFault::Size(text.len())));
        }
        let mut source = Self {
            parser: Parser::new_from_str(text),
            at,
        };
        loop {
            match source.next("file")? {
                Part::Start => {}
                Part::Map => return Ok(source),
                Part::Text(..) | Part::List | Part::ListEnd | Part::MapEnd | Part::End => {
                    let fault = KeysFault::Kind("a mapping of fields");
                    return Err(source.at.error("file", fault));
                }
            }
        }
    }

    /// Makes sure that nothing follows.
    fn close(&mut self) -> Result<(), KeysError> {
        match self.next("file")? {
            Part::End => Ok(()),
            Part::Start => Err(self.at.error("file", KeysFault::Document)),
            Part::Text(..) | Part::List | Part::ListEnd | Part::Map | Part::MapEnd => {
                Err(self.at.error("file", KeysFault::Syntax))
            }
        }
    }

    /// The name of the next field, and where it stands.
    fn next_name(&mut self) -> Result<Option<(Zeroizing<String>, Place)>, KeysError> {
        match self.next("file")? {
            Part::Text(name, _) => Ok(Some((name, self.at))),
            Part::MapEnd => Ok(None),
            Part::List | Part::ListEnd | Part::Map | Part::Start | Part::End => {
                let fault = KeysFault::Kind("named with text");
                Err(self.at.error("file", fault))
            }
        }
    }

    fn text(&mut self, field: &str) -> Result<Zeroizing<String>, KeysError> {
        match self.next(field)? {
            Part::Text(text, _) => Ok(text),
            Part::List | Part::ListEnd | Part::Map | Part::MapEnd | Part::Start | Part::End => {
                Err(self.at.error(field, KeysFault::Kind("text")))
            }
        }
    }

    fn list_of_keys(&mut self, name: Place) -> Result<Vec<SecretKey>, KeysError> {
        match self.next("keys")? {
            Part::List => {}
            Part::Text(text, ScalarStyle::Plain) if text.is_empty() => {
                return Err(name.error("keys", KeysFault::Empty));
            }
            Part::Text(..) | Part::ListEnd | Part::Map | Part::MapEnd | Part::Start | Part::End => {
                return Err(self.at.error("keys", KeysFault::Kind("a list of keys")));
            }
        }
        let mut keys = Vec::new();
        let mut known = std::collections::BTreeMap::new();
        loop {
            let index = keys.len();
            let field = || format!("keys[{index}]");
            let text = match self.next("keys")? {
                Part::Text(text, _) => text,
                Part::ListEnd if keys.is_empty() => {
                    return Err(name.error("keys", KeysFault::Empty));
                }
                Part::ListEnd => return Ok(keys),
                Part::List | Part::Map | Part::MapEnd | Part::Start | Part::End => {
                    return Err(self.at.error(field(), KeysFault::Kind("text")));
                }
            };
            if keys.len() >= KEYS_MAX {
                return Err(self.at.error(field(), KeysFault::TooMany));
            }
            let key = SecretKey::parse(&text)
                .map_err(|error| self.at.error(field(), KeysFault::Key(error)))?;
            if let Some(first) = known.insert(key.public_key(), index) {
                return Err(self.at.error(field(), KeysFault::SameKey(first)));
            }
            keys.push(key);
        }
    }

    /// Skips the value of a field that does not matter.
    fn skip(&mut self, mut depth: usize) -> Result<(), KeysError> {
        loop {
            match self.next("file")? {
                Part::Text(..) => {}
                Part::List | Part::Map => depth += 1,
                Part::ListEnd | Part::MapEnd => depth -= 1,
                Part::Start | Part::End => {
                    return Err(self.at.error("file", KeysFault::Syntax));
                }
            }
            if depth == 0 {
                return Ok(());
            }
            if depth > DEPTH_MAX {
                return Err(self.at.error("file", KeysFault::Depth));
            }
        }
    }

    fn next(&mut self, field: &str) -> Result<Part, KeysError> {
        loop {
            let (event, span) = match self.parser.next_event() {
                Some(Ok(next)) => next,
                Some(Err(error)) => {
                    let at = Place::of(error.marker());
                    return Err(at.error(field, KeysFault::Syntax));
                }
                None => return Ok(Part::End),
            };
            self.at = Place::of(&span.start);
            let unsupported = || self.at.error(field, KeysFault::Unsupported);
            return Ok(match event {
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => continue,
                Event::DocumentStart(_) => Part::Start,
                Event::StreamEnd => Part::End,
                Event::Scalar(text, style, 0, None) => Part::Text(owned(text), style),
                Event::SequenceStart(0, None) => Part::List,
                Event::MappingStart(0, None) => Part::Map,
                Event::SequenceEnd => Part::ListEnd,
                Event::MappingEnd => Part::MapEnd,
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::MappingStart(..) => return Err(unsupported()),
            });
        }
    }
}

fn owned(text: Cow<'_, str>) -> Zeroizing<String> {
    let kept = Zeroizing::new(text.as_ref().to_owned());
    if let Cow::Owned(mut text) = text {
        text.zeroize();
    }
    kept
}
