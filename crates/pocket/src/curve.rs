//! Arithmetic on secp256k1 for public values, as fast as it can be in safe code.
//!
//! Nothing here runs in constant time, and nothing here may see a secret: it checks signatures, whose every part is
//! public. What signs uses k256 and libsecp256k1.

mod field;
mod point;
mod scalar;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use field::Field;
pub(crate) use point::{Affine, Jacobian, batch_affine};
pub(crate) use scalar::Halves;
pub(crate) use table::{Comb, Odd, Window, double_and_add};
