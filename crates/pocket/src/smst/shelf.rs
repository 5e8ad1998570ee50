//! Values with their weights, and the addresses under which leaves know them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Values;
use super::values::POSITION_BITS;

/// The position of a leaf's value. The highest bit says that its weight is not the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address([u8; ADDRESS_LEN]);

/// Bytes of an address.
const ADDRESS_LEN: usize = 5;
const _: () = assert!(POSITION_BITS as usize == ADDRESS_LEN * 8 - 1);

/// Values and weights. The chain weighs all relays of a session alike, so the first value's weight is the usual one and
/// costs nothing; others are kept beside it.
#[derive(Clone, Default)]
pub(super) struct Shelf<V> {
    values: V,
    usual_weight: Option<u64>,
    other_weights: BTreeMap<u64, u64>,
}

impl<V: Values> Shelf<V> {
    pub(super) const fn new(values: V) -> Self {
        Self {
            values,
            usual_weight: None,
            other_weights: BTreeMap::new(),
        }
    }

    /// Stores a value. None when there is no room.
    pub(super) fn put(&mut self, value: &[u8], weight: u64) -> Option<Address> {
        let position = self.values.put(value)?;
        (position >> POSITION_BITS == 0).then(|| self.weighed(position, weight))
    }

    /// Gives a value another weight. The address changes, the position does not.
    pub(super) fn set_weight(&mut self, address: Address, weight: u64) -> Address {
        self.other_weights.remove(&address.position());
        self.weighed(address.position(), weight)
    }

    /// The value at an address.
    pub(super) fn value(&self, address: Address) -> Cow<'_, [u8]> {
        self.values.get(address.position())
    }

    /// The weight at an address.
    pub(super) fn weight(&self, address: Address) -> u64 {
        let weight = if address.is_unusual() {
            self.other_weights.get(&address.position()).copied()
        } else {
            self.usual_weight
        };
        weight.expect("an address is made with its weight")
    }

    fn weighed(&mut self, position: u64, weight: u64) -> Address {
        let unusual = *self.usual_weight.get_or_insert(weight) != weight;
        if unusual {
            self.other_weights.insert(position, weight);
        }
        Address::new(position, unusual)
    }
}

impl Address {
    fn new(position: u64, unusual: bool) -> Self {
        let mut bytes = [0; ADDRESS_LEN];
        let marked = position | u64::from(unusual) << POSITION_BITS;
        bytes.copy_from_slice(&marked.to_be_bytes()[8 - ADDRESS_LEN..]);
        Self(bytes)
    }

    /// Grows with the order of insertion.
    pub(super) fn position(self) -> u64 {
        self.marked() & ((1 << POSITION_BITS) - 1)
    }

    fn is_unusual(self) -> bool {
        self.marked() >> POSITION_BITS == 1
    }

    fn marked(self) -> u64 {
        let mut bytes = [0; 8];
        bytes[8 - ADDRESS_LEN..].copy_from_slice(&self.0);
        u64::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kept;
    use super::*;

    #[test]
    fn weights_may_differ_and_change() {
        let mut shelf = Shelf::new(Kept::default());
        let usual = shelf.put(b"a", 7).expect("a position is left");
        let other = shelf.put(b"b", u64::MAX).expect("a position is left");
        assert_eq!((shelf.weight(usual), shelf.weight(other)), (7, u64::MAX));
        let changed = shelf.set_weight(usual, 8);
        let back = shelf.set_weight(other, 7);
        assert_eq!((shelf.weight(changed), shelf.weight(back)), (8, 7));
        assert_eq!(*shelf.value(changed), *b"a");
        assert_eq!(*shelf.value(back), *b"b");
        assert_eq!(shelf.other_weights.len(), 1);
    }
}
