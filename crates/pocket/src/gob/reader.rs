//! Reading gob's primitives.

/// What is wrong with a stream, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gob: {field} at byte {offset}: {rule}")]
pub struct GobError {
    field: &'static str,
    offset: usize,
    rule: &'static str,
}

impl GobError {
    pub(super) const fn new(field: &'static str, offset: usize, rule: &'static str) -> Self {
        Self {
            field,
            offset,
            rule,
        }
    }

    /// The field that is wrong.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Where it is in the stream, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

/// Bytes of a stream, or of a message in it, and how far they are read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begin in the stream.
    base: usize,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            base: 0,
            at: 0,
        }
    }

    /// Where the next byte is in the stream.
    pub(super) const fn offset(&self) -> usize {
        self.base + self.at
    }

    /// A number without sign, in as few bytes as it needs.
    pub(super) fn uint(&mut self, field: &'static str) -> Result<u64, GobError> {
        let start = self.offset();
        let first = self.take(field, 1)?[0];
        if first <= 127 {
            return Ok(u64::from(first));
        }
        let length = usize::from(first.wrapping_neg());
        if length > 8 {
            return Err(GobError::new(field, start, "a number of more than 8 bytes"));
        }
        let bytes = self.take(field, length)?;
        let value = bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        if bytes[0] == 0 || value <= 127 {
            return Err(GobError::new(field, start, "a number in too many bytes"));
        }
        Ok(value)
    }

    /// A number with a sign.
    pub(super) fn int(&mut self, field: &'static str) -> Result<i64, GobError> {
        let value = self.uint(field)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(super) fn expect_uint(
        &mut self,
        field: &'static str,
        expected: u64,
    ) -> Result<(), GobError> {
        let at = self.offset();
        if self.uint(field)? == expected {
            return Ok(());
        }
        Err(GobError::new(field, at, "not defined as the proof's type"))
    }

    pub(super) fn expect_int(
        &mut self,
        field: &'static str,
        expected: i64,
    ) -> Result<(), GobError> {
        let at = self.offset();
        if self.int(field)? == expected {
            return Ok(());
        }
        Err(GobError::new(field, at, "not defined as the proof's type"))
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], GobError> {
        let length = self.length(field)?;
        self.take(field, length)
    }

    /// Bytes of a field that is left out when it is empty.
    pub(super) fn filled(&mut self, field: &'static str) -> Result<Vec<u8>, GobError> {
        let at = self.offset();
        let bytes = self.bytes(field)?;
        if bytes.is_empty() {
            return Err(GobError::new(field, at, "empty is left out, not written"));
        }
        Ok(bytes.to_vec())
    }

    /// A list of bytes, left out when it is empty.
    pub(super) fn list(
        &mut self,
        field: &'static str,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, GobError> {
        let at = self.offset();
        let entries = self.uint(field)?;
        if entries == 0 {
            return Err(GobError::new(field, at, "empty is left out, not written"));
        }
        let entries = usize::try_from(entries)
            .ok()
            .filter(|entries| *entries <= max)
            .ok_or(GobError::new(
                field,
                at,
                "more entries than a path has bits",
            ))?;
        (0..entries)
            .map(|_| self.bytes(field).map(<[u8]>::to_vec))
            .collect()
    }

    /// The next field of a struct: its place among `names` and its name. None at the end of the struct.
    pub(super) fn field(
        &mut self,
        names: &[&'static str],
        next: &mut usize,
    ) -> Result<Option<(usize, &'static str)>, GobError> {
        let at = self.offset();
        let distance = self.uint("field number")?;
        if distance == 0 {
            return Ok(None);
        }
        let index = usize::try_from(distance - 1)
            .ok()
            .and_then(|skipped| skipped.checked_add(*next))
            .filter(|index| *index < names.len())
            .ok_or(GobError::new("field number", at, "beyond the last field"))?;
        *next = index + 1;
        Ok(Some((index, names[index])))
    }

    /// A message with its length before it.
    pub(super) fn message(&mut self, field: &'static str) -> Result<Self, GobError> {
        let length = self.length(field)?;
        let base = self.offset();
        let bytes = self.take(field, length)?;
        Ok(Self { bytes, base, at: 0 })
    }

    /// That nothing follows.
    pub(super) fn finish(&self, field: &'static str) -> Result<(), GobError> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(GobError::new(field, self.offset(), "bytes follow its end"))
    }

    fn length(&mut self, field: &'static str) -> Result<usize, GobError> {
        let at = self.offset();
        let length = self.uint(field)?;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.bytes.len() - self.at)
            .ok_or(GobError::new(field, at, "longer than what is left"))
    }

    fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], GobError> {
        let rest = &self.bytes[self.at..];
        let taken =
            rest.get(..length)
                .ok_or(GobError::new(field, self.offset(), "ends too early"))?;
        self.at += length;
        Ok(taken)
    }
}
