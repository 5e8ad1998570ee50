//! Go's `encoding/gob`, as far as a closest proof needs it: the bytes that go on chain, and a strict decoder.
//!
//! A stream is three definitions of types and one value. A fresh process numbers its types from 65; the chain's decoder
//! takes any numbers that the stream defines, and so does this one.

mod reader;

use crate::smst::CompactProof;
use reader::Reader;

pub use reader::GobError;

/// Most bytes of a stream. The largest part of a proof is one relay, or two where the sibling is a leaf.
const STREAM_MAX: usize = 80 << 20;

/// Most entries of a list: one for each bit of a path and one more.
const LIST_MAX: usize = 257;

/// The first number that Go gives to a type of the program.
const FIRST_ID: i64 = 65;

/// Go's numbers of types that need no definition.
const INT: i64 = 2;
const BYTES: i64 = 5;

/// Places of the fields in Go's own description of types: a slice, a struct.
const SLICE: u64 = 1;
const STRUCT: u64 = 2;

/// Names as the Go program declares them.
const OUTER_NAME: &str = "SparseCompactMerkleClosestProof";
const LIST_NAME: &str = "[][]uint8";
const INNER_NAME: &str = "SparseCompactMerkleProof";

/// Numbers of the three types of a stream.
#[derive(Clone, Copy)]
struct Ids {
    outer: i64,
    list: i64,
    inner: i64,
}

impl Ids {
    const FRESH: Self = Self {
        outer: FIRST_ID,
        list: FIRST_ID + 1,
        inner: FIRST_ID + 2,
    };

    fn outer_fields(self) -> [(&'static str, i64); 6] {
        [
            ("Path", BYTES),
            ("FlippedBits", self.list),
            ("Depth", BYTES),
            ("ClosestPath", BYTES),
            ("ClosestValueHash", BYTES),
            ("ClosestProof", self.inner),
        ]
    }

    fn inner_fields(self) -> [(&'static str, i64); 5] {
        [
            ("SideNodes", self.list),
            ("NonMembershipLeafData", BYTES),
            ("BitMask", BYTES),
            ("NumSideNodes", INT),
            ("SiblingData", BYTES),
        ]
    }
}

/// The stream of a proof: what `MsgSubmitProof.proof` holds.
#[must_use]
pub fn encode(proof: &CompactProof) -> Vec<u8> {
    let ids = Ids::FRESH;
    let mut stream = Vec::with_capacity(640 + proof.closest_value.len() + proof.sibling.len());
    let outer = define_struct(OUTER_NAME, ids.outer, &ids.outer_fields());
    put_message(&mut stream, -ids.outer, &outer);
    let mut list = Vec::new();
    put_uint(&mut list, SLICE + 1);
    put_common(&mut list, LIST_NAME, ids.list);
    put_uint(&mut list, 1);
    put_int(&mut list, BYTES);
    list.extend([0, 0]);
    put_message(&mut stream, -ids.list, &list);
    let inner = define_struct(INNER_NAME, ids.inner, &ids.inner_fields());
    put_message(&mut stream, -ids.inner, &inner);
    put_message(&mut stream, ids.outer, &value(proof));
    stream
}

/// Reads a stream. Only what Go's encoder writes is taken: minimal numbers, no field that is empty, nothing behind the
/// value. Types may have other numbers. What is allocated stays below the stream's length and 32 KiB.
///
/// # Errors
/// Naming the field that is wrong and where it is.
pub fn decode(stream: &[u8]) -> Result<CompactProof, GobError> {
    if stream.len() > STREAM_MAX {
        return Err(GobError::new("stream", 0, "longer than 80 MiB"));
    }
    let mut reader = Reader::new(stream);
    let ids = read_definitions(&mut reader)?;
    let mut message = reader.message("value")?;
    let at = message.offset();
    if message.int("value type")? != ids.outer {
        return Err(GobError::new("value type", at, "not the proof's type"));
    }
    let proof = read_outer(&mut message)?;
    message.finish("value")?;
    reader.finish("stream")?;
    Ok(proof)
}

fn define_struct(name: &str, id: i64, fields: &[(&str, i64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_uint(&mut bytes, STRUCT + 1);
    put_common(&mut bytes, name, id);
    put_uint(&mut bytes, 1);
    put_uint(&mut bytes, fields.len() as u64);
    for (name, kind) in fields {
        put_name_and_id(&mut bytes, name, *kind);
    }
    bytes.extend([0, 0]);
    bytes
}

/// The part that all definitions begin with.
fn put_common(to: &mut Vec<u8>, name: &str, id: i64) {
    put_uint(to, 1);
    put_name_and_id(to, name, id);
}

fn put_name_and_id(to: &mut Vec<u8>, name: &str, id: i64) {
    put_uint(to, 1);
    put_bytes(to, name.as_bytes());
    put_uint(to, 1);
    put_int(to, id);
    to.push(0);
}

fn value(proof: &CompactProof) -> Vec<u8> {
    let mut fields = Fields::new(256 + proof.closest_value.len() + proof.sibling.len());
    fields.bytes(0, &proof.path);
    fields.list(1, &proof.flipped_bits);
    fields.bytes(2, &proof.depth);
    fields.bytes(3, &proof.closest_path);
    fields.bytes(4, &proof.closest_value);
    let mut inner = Fields::new(0);
    inner.list(0, &proof.side_nodes);
    inner.bytes(1, &proof.non_membership_leaf);
    inner.bytes(2, &proof.bit_mask);
    inner.int(3, proof.num_side_nodes);
    inner.bytes(4, &proof.sibling);
    fields.nested(5, &inner.end());
    fields.end()
}

/// The fields of a struct: each is preceded by its distance from the one before, and left out when it is empty.
struct Fields {
    bytes: Vec<u8>,
    next: u64,
}

impl Fields {
    fn new(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            next: 0,
        }
    }

    fn bytes(&mut self, index: u64, value: &[u8]) {
        if !value.is_empty() {
            self.begin(index);
            put_bytes(&mut self.bytes, value);
        }
    }

    fn list(&mut self, index: u64, values: &[Vec<u8>]) {
        if !values.is_empty() {
            self.begin(index);
            put_uint(&mut self.bytes, values.len() as u64);
            values
                .iter()
                .for_each(|value| put_bytes(&mut self.bytes, value));
        }
    }

    fn int(&mut self, index: u64, value: i64) {
        if value != 0 {
            self.begin(index);
            put_int(&mut self.bytes, value);
        }
    }

    /// A struct is there even when all of its fields are left out.
    fn nested(&mut self, index: u64, value: &[u8]) {
        self.begin(index);
        self.bytes.extend_from_slice(value);
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    fn begin(&mut self, index: u64) {
        put_uint(&mut self.bytes, index + 1 - self.next);
        self.next = index + 1;
    }
}

fn put_message(to: &mut Vec<u8>, id: i64, body: &[u8]) {
    let mut number = Vec::with_capacity(9);
    put_int(&mut number, id);
    put_uint(to, (number.len() + body.len()) as u64);
    to.extend_from_slice(&number);
    to.extend_from_slice(body);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// The lowest bit says whether the rest is inverted.
fn put_int(to: &mut Vec<u8>, value: i64) {
    put_uint(to, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// One byte up to 127; beyond that the bytes' negated number, then the bytes.
fn put_uint(to: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    match bytes {
        [0, 0, 0, 0, 0, 0, 0, small @ 0..=127] => to.push(small),
        _ => {
            let skipped = value.leading_zeros() / 8;
            let [.., negated] = skipped.wrapping_sub(8).to_be_bytes();
            to.push(negated);
            to.extend_from_slice(&bytes[skipped as usize..]);
        }
    }
}

fn read_definitions(reader: &mut Reader<'_>) -> Result<Ids, GobError> {
    let mut outer = reader.message("definition of the proof")?;
    let mut list = reader.message("definition of the list")?;
    let mut inner = reader.message("definition of the inner proof")?;
    let ids = Ids {
        outer: read_id(&mut outer)?,
        list: read_id(&mut list)?,
        inner: read_id(&mut inner)?,
    };
    if ids.outer == ids.list || ids.outer == ids.inner || ids.list == ids.inner {
        let at = inner.offset();
        return Err(GobError::new("type ids", at, "two types have one id"));
    }
    read_struct(&mut outer, OUTER_NAME, ids.outer, &ids.outer_fields())?;
    read_list(&mut list, ids.list)?;
    read_struct(&mut inner, INNER_NAME, ids.inner, &ids.inner_fields())?;
    Ok(ids)
}

/// A definition begins with the negated number of its type.
fn read_id(message: &mut Reader<'_>) -> Result<i64, GobError> {
    let at = message.offset();
    let found = message.int("type id")?;
    found
        .checked_neg()
        .filter(|id| *id >= FIRST_ID)
        .ok_or(GobError::new("type id", at, "not that of a defined type"))
}

fn read_struct(
    message: &mut Reader<'_>,
    name: &'static str,
    id: i64,
    fields: &[(&'static str, i64)],
) -> Result<(), GobError> {
    message.expect_uint("kind of type", STRUCT + 1)?;
    message.expect_uint(name, 1)?;
    read_name_and_id(message, name, id)?;
    message.expect_uint(name, 1)?;
    message.expect_uint(name, fields.len() as u64)?;
    for (name, kind) in fields {
        read_name_and_id(message, name, *kind)?;
    }
    message.expect_uint(name, 0)?;
    message.expect_uint(name, 0)?;
    message.finish(name)
}

fn read_list(message: &mut Reader<'_>, id: i64) -> Result<(), GobError> {
    message.expect_uint("kind of type", SLICE + 1)?;
    message.expect_uint(LIST_NAME, 1)?;
    read_name_and_id(message, LIST_NAME, id)?;
    message.expect_uint(LIST_NAME, 1)?;
    message.expect_int(LIST_NAME, BYTES)?;
    message.expect_uint(LIST_NAME, 0)?;
    message.expect_uint(LIST_NAME, 0)?;
    message.finish(LIST_NAME)
}

fn read_name_and_id(message: &mut Reader<'_>, name: &'static str, id: i64) -> Result<(), GobError> {
    message.expect_uint(name, 1)?;
    let at = message.offset();
    if message.bytes(name)? != name.as_bytes() {
        return Err(GobError::new(name, at, "another name is there"));
    }
    message.expect_uint(name, 1)?;
    message.expect_int(name, id)?;
    message.expect_uint(name, 0)
}

fn read_outer(message: &mut Reader<'_>) -> Result<CompactProof, GobError> {
    let mut proof = CompactProof::default();
    let names = Ids::FRESH.outer_fields().map(|(name, _)| name);
    let mut next = 0;
    let mut has_inner = false;
    while let Some((index, name)) = message.field(&names, &mut next)? {
        match index {
            0 => proof.path = message.filled(name)?,
            1 => proof.flipped_bits = message.list(name, LIST_MAX)?,
            2 => proof.depth = message.filled(name)?,
            3 => proof.closest_path = message.filled(name)?,
            4 => proof.closest_value = message.filled(name)?,
            _ => {
                read_inner(message, &mut proof)?;
                has_inner = true;
            }
        }
    }
    if !has_inner {
        let at = message.offset();
        return Err(GobError::new("ClosestProof", at, "missing"));
    }
    Ok(proof)
}

fn read_inner(message: &mut Reader<'_>, proof: &mut CompactProof) -> Result<(), GobError> {
    let names = Ids::FRESH.inner_fields().map(|(name, _)| name);
    let mut next = 0;
    while let Some((index, name)) = message.field(&names, &mut next)? {
        match index {
            0 => proof.side_nodes = message.list(name, LIST_MAX)?,
            1 => proof.non_membership_leaf = message.filled(name)?,
            2 => proof.bit_mask = message.filled(name)?,
            3 => {
                let at = message.offset();
                proof.num_side_nodes = message.int(name)?;
                if proof.num_side_nodes == 0 {
                    return Err(GobError::new(name, at, "0 is left out, not written"));
                }
            }
            _ => proof.sibling = message.filled(name)?,
        }
    }
    Ok(())
}
