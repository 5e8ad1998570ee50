//! Verification with what is known about keys seen before.

use std::fmt;
use std::sync::Arc;

use k256::Scalar;
use k256::elliptic_curve::PrimeField;

use super::cache::{Cache, Key, Known};
use super::hash::challenge_of;
use super::{Raw, Ring, RingField, VerifyError, not_a_point};
use crate::curve::{Affine, Comb, Halves, Jacobian, Odd, Window, batch_affine, double_and_add};
use crate::keys::PublicKeyError;

/// The generator's table is part of every product and so pays for wider digits than others: 410 kB.
const GENERATOR_WINDOW: Window = Window::bits(10);

/// Verifies ring signatures, and remembers what it computed about the keys of those that were right.
///
/// A key's first appearances cost its decompression, its hash to a point and a table of 16 multiples. Once it has
/// appeared four times there is a large table for each of its points, and products take no doublings; the signature
/// for which they are made takes 0.4 ms more for each. Only keys of valid signatures are remembered, so
/// strangers cannot push out what members need.
///
/// One verifier serves all threads: its lock is held for lookups only, never while anything is computed.
pub struct Verifier {
    generator: Comb,
    cache: Cache,
}

impl Verifier {
    /// A verifier that keeps at most `memory` bytes of tables besides the generator's 410 kB, and at least
    /// [`super::VERIFIER_MEMORY_MIN`]. A member takes 263 kB, a key image 132 kB; a ring of two seen before so takes
    /// 660 kB, of which 395 kB are shared by all rings with the same gateway. A thread that makes the tables of a key
    /// holds up to 0.7 MB more while it does.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        Self {
            generator: Comb::new(Affine::GENERATOR, GENERATOR_WINDOW),
            cache: Cache::new(memory),
        }
    }

    /// Checks that a signature belongs to a message and that all its members are in the ring. Order and number of the
    /// members do not matter, as on the chain, nor does repetition up to [`super::REPEATS_MAX`] for each key.
    ///
    /// Several signatures cannot share work beyond what is remembered about their keys: each challenge is a hash of the
    /// step before. Whoever has many calls this from many threads.
    ///
    /// # Errors
    ///
    /// If the signature is malformed, a member is a stranger, members are repeated too often, or the numbers do not
    /// fit.
    pub fn verify(
        &self,
        signature: &[u8],
        message: &[u8; 32],
        ring: &Ring,
    ) -> Result<(), VerifyError> {
        let raw = Raw::split(signature)?;
        raw.check_members(ring)?;
        let keys: Vec<Key> = raw.points().map(|(_, key)| key).collect();
        let mut known = Vec::with_capacity(keys.len());
        for ((field, key), found) in raw.points().zip(self.cache.find(&keys)) {
            let found = match found {
                Some(found) => found,
                None => Known::compute(&key)
                    .map(Arc::new)
                    .ok_or_else(|| not_a_point(field, PublicKeyError::Point))?,
            };
            known.push(found);
        }
        if self.walk(&raw, message, &known) != Some(raw.challenge) {
            return Err(VerifyError::Mismatch);
        }
        self.cache.remember(keys.into_iter().zip(known));
        Ok(())
    }

    /// Bytes of tables that are kept at present, without the generator's.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.cache.memory()
    }

    /// The challenge after a round of the ring; `None` if a point on the way is the neutral one.
    fn walk(&self, raw: &Raw<'_>, message: &[u8; 32], known: &[Arc<Known>]) -> Option<Scalar> {
        let cold: Vec<Affine> = known
            .iter()
            .flat_map(|known| known.cold())
            .copied()
            .collect();
        let mut odd = Odd::batch(&cold).into_iter();
        let bases: Vec<Base<'_>> = known
            .iter()
            .flat_map(|known| {
                let combs = known.combs.iter().map(Base::Comb);
                let odds: Vec<Base<'_>> = odd
                    .by_ref()
                    .take(known.cold().len())
                    .map(|odd| Base::Odd(Box::new(odd)))
                    .collect();
                combs.chain(odds)
            })
            .collect();
        let (image, members) = bases.split_first()?;
        let (members, _) = members.as_chunks::<2>();
        let mut next = raw.challenge;
        for (part, [member, hashed]) in raw.parts.iter().zip(members) {
            let response = halves(&part.response);
            let challenge = halves(&next);
            let mut left = Sum::default();
            self.generator
                .add(&response, &mut left.plain, &mut left.turned);
            left.add(member, &challenge);
            let mut right = Sum::default();
            right.add(hashed, &response);
            right.add(image, &challenge);
            let step = batch_affine(&[left.total(), right.total()])?;
            next = challenge_of(message, &step[0].to_bytes(), &step[1].to_bytes());
        }
        Some(next)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Verifier");
        shown
            .field("memory", &self.memory())
            .finish_non_exhaustive()
    }
}

/// What is known about a point that is multiplied.
enum Base<'a> {
    Comb(&'a Comb),
    Odd(Box<Odd>),
}

/// A sum of products under way.
struct Sum<'a> {
    /// Multiples as they are.
    plain: Jacobian,
    /// Multiples that are still to be taken times lambda.
    turned: Jacobian,
    /// Products that need doublings, which they share.
    open: Vec<(&'a Odd, Halves)>,
}

impl<'a> Sum<'a> {
    fn add(&mut self, base: &'a Base<'_>, scalar: &Halves) {
        match base {
            Base::Comb(comb) => comb.add(scalar, &mut self.plain, &mut self.turned),
            Base::Odd(odd) => self.open.push((odd, *scalar)),
        }
    }

    fn total(&self) -> Jacobian {
        let products = double_and_add(&self.open);
        products.add(&self.plain).add(&self.turned.times_lambda())
    }
}

impl Default for Sum<'_> {
    fn default() -> Self {
        Self {
            plain: Jacobian::NEUTRAL,
            turned: Jacobian::NEUTRAL,
            open: Vec::new(),
        }
    }
}

impl Raw<'_> {
    /// The key image and the members, in that order.
    fn points(&self) -> impl Iterator<Item = (RingField, Key)> {
        let image = (RingField::Image, Key::image(self.image));
        let member = |(index, part): (usize, &super::RawPart<'_>)| {
            (RingField::Member(index), Key::member(part.member))
        };
        std::iter::once(image).chain(self.parts.iter().enumerate().map(member))
    }
}

fn halves(scalar: &Scalar) -> Halves {
    Halves::of(&scalar.to_repr().into())
}
