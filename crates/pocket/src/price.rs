//! Prices: what compute units are worth, what a relay costs, what a claim is worth.
//!
//! Amounts are in upokt. All of it is exact, by the formulas of the chain's `proof` and `tokenomics` modules, and an
//! amount is rounded down once, at the end; [`Budget::by_factor`] alone is a reference relayer's, which computes with
//! floats.

use crate::difficulty::Target;
use crate::message::pocket::shared::Params;
use crate::smst::Digest;

/// Most compute units that a relay of a service may earn: the chain's limit. The least is 1.
pub const COMPUTE_UNITS_MAX: u64 = 2 << 20;

/// What compute units cost: shared parameters 9 and 11 in force at the session's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    multiplier: u64,
    granularity: u64,
}

/// What a claim amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimValue {
    /// Compute units in the trie.
    pub claimed_compute_units: u64,
    /// Relays in the trie.
    pub claimed_relays: u64,
    /// Compute units of all relays that were served, by the difficulty.
    pub estimated_compute_units: u128,
    /// Relays that were served, by the difficulty.
    pub estimated_relays: u128,
    /// What the claim is worth, in upokt.
    pub upokt: u128,
}

/// What an application may still spend with one supplier in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    max: u128,
    consumed: u128,
}

/// Why an amount cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Nothing can be divided by it.
    #[error("{parameter}: 0, it must be positive")]
    Zero {
        /// The parameter.
        parameter: &'static str,
    },
    /// More than all tokens that can exist.
    #[error("{amount}: does not fit into 128 bits")]
    Overflow {
        /// The amount.
        amount: &'static str,
    },
    /// No relay of any service earns as much.
    #[error("compute_units_per_relay: {found}, it must be from 1 to {COMPUTE_UNITS_MAX}")]
    ComputeUnits {
        /// What a relay would earn.
        found: u64,
    },
    /// The claim's sum is not what its relays earn.
    #[error("claim: sum {sum}, but {count} relays at {compute_units_per_relay} make another")]
    SumMismatch {
        /// The claimed sum.
        sum: u64,
        /// The claimed count.
        count: u64,
        /// What a relay of the service earns.
        compute_units_per_relay: u64,
    },
}

impl Price {
    /// The price that these parameters hold.
    ///
    /// # Errors
    /// When the granularity is 0.
    pub const fn new(params: &Params) -> Result<Self, PriceError> {
        if params.compute_unit_cost_granularity == 0 {
            return Err(PriceError::Zero {
                parameter: "compute_unit_cost_granularity",
            });
        }
        Ok(Self {
            multiplier: params.compute_units_to_tokens_multiplier,
            granularity: params.compute_unit_cost_granularity,
        })
    }

    /// What one relay costs its application, in upokt, whatever the difficulty: `compute_units` times
    /// `compute_units_to_tokens_multiplier`, divided by `compute_unit_cost_granularity`.
    #[must_use]
    pub fn relay(&self, compute_units: u64) -> u128 {
        u128::from(compute_units) * u128::from(self.multiplier) / u128::from(self.granularity)
    }

    /// What a claim with this root amounts to, under the difficulty at the session's start. With the root's sum and
    /// count, and the difficulty multiplier 2^256 - 1 over the target: estimated compute units are sum times
    /// multiplier, estimated relays those over sum / count, and the claim is worth what [`Self::relay`] says of the
    /// compute units before they are rounded.
    ///
    /// # Errors
    /// When the root has no leaf, or an amount does not fit into 128 bits.
    pub fn claim(&self, root: &Digest, target: &Target) -> Result<ClaimValue, PriceError> {
        let (sum, count) = (root.sum(), root.count());
        let overflow = |amount| PriceError::Overflow { amount };
        let zero = |parameter| PriceError::Zero { parameter };
        let per_relay = sum.checked_div(count).ok_or(zero("count of relays"))?;
        let estimated_compute_units = target
            .scale(sum, 1, 1)
            .ok_or(overflow("estimated compute units"))?;
        Ok(ClaimValue {
            claimed_compute_units: sum,
            claimed_relays: count,
            estimated_compute_units,
            estimated_relays: estimated_compute_units
                .checked_div(u128::from(per_relay))
                .ok_or(zero("compute units per relay"))?,
            upokt: target
                .scale(sum, self.multiplier, self.granularity)
                .ok_or(overflow("claimed upokt"))?,
        })
    }
}

/// That a service may have its relays earn so many compute units.
///
/// # Errors
/// When it is 0 or above [`COMPUTE_UNITS_MAX`].
pub const fn check_compute_units(found: u64) -> Result<(), PriceError> {
    if 0 < found && found <= COMPUTE_UNITS_MAX {
        return Ok(());
    }
    Err(PriceError::ComputeUnits { found })
}

/// That a root's sum is what its relays earn, which the chain asks of every claim. `compute_units_per_relay` is the
/// service's at the session's start.
///
/// # Errors
/// When it is not.
pub fn check_sum(root: &Digest, compute_units_per_relay: u64) -> Result<(), PriceError> {
    let (sum, count) = (root.sum(), root.count());
    if count.checked_mul(compute_units_per_relay) == Some(sum) {
        return Ok(());
    }
    Err(PriceError::SumMismatch {
        sum,
        count,
        compute_units_per_relay,
    })
}

impl Budget {
    /// What the chain guarantees to pay one supplier in one session: the application's stake, in upokt, divided by
    /// suppliers first and by sessions that may be unsettled at once after that.
    ///
    /// `suppliers` is `num_suppliers_per_session`, of which 0 counts as 1; `pending_sessions` comes from
    /// [`Offsets::pending_sessions`](crate::window::Offsets::pending_sessions).
    #[must_use]
    pub const fn guaranteed(stake: u128, suppliers: u64, pending_sessions: i64) -> Self {
        let suppliers = if suppliers == 0 { 1 } else { suppliers };
        let sessions = if pending_sessions < 0 {
            1
        } else {
            pending_sessions.unsigned_abs() as u128 + 1
        };
        Self::of(stake / suppliers as u128 / sessions)
    }

    /// A part of the application's stake, or a multiple, by an operator's choice: more than the guaranteed amount may
    /// not be paid. Computed with 64-bit floats, as the reference relayer does, so that both stop at the same relay.
    /// None when the factor is negative or no number.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the reference relayer rounds in the same way, and the factor is not negative"
    )]
    pub fn by_factor(stake: u128, factor: f64) -> Option<Self> {
        let valid = factor.is_finite() && factor >= 0.0;
        valid.then(|| Self::of((stake as f64 * factor) as u128))
    }

    /// A budget of this many upokt.
    #[must_use]
    pub const fn of(max: u128) -> Self {
        Self { max, consumed: 0 }
    }

    /// Charges a relay. Says whether the budget allowed it; if not, nothing is charged.
    pub const fn charge(&mut self, cost: u128) -> bool {
        let allowed = cost <= self.left();
        if allowed {
            self.consumed += cost;
        }
        allowed
    }

    /// Gives back what a relay cost that was not served after all.
    pub const fn refund(&mut self, cost: u128) {
        self.consumed = self.consumed.saturating_sub(cost);
    }

    /// Sets another maximum, when stake or parameters have changed.
    pub const fn resize(&mut self, max: u128) {
        self.max = max;
    }

    /// What may still be spent, in upokt.
    #[must_use]
    pub const fn left(&self) -> u128 {
        self.max.saturating_sub(self.consumed)
    }

    /// What was spent, in upokt.
    #[must_use]
    pub const fn consumed(&self) -> u128 {
        self.consumed
    }
}

/// The most that the chain pays for one claim at settlement before anything unused is shared out, in upokt. `suppliers`
/// are those with a claim that settles; a spend limit of 0 is none. None when a divisor is 0.
#[must_use]
pub const fn settlement_floor(
    stake: u128,
    pending_sessions: u64,
    suppliers: u64,
    per_session_spend_limit: Option<u128>,
) -> Option<u128> {
    let Some(per_session) = stake.checked_div(pending_sessions as u128) else {
        return None;
    };
    let spendable = match per_session_spend_limit {
        Some(limit) if 0 < limit && limit < per_session => limit,
        Some(_) | None => per_session,
    };
    spendable.checked_div(suppliers as u128)
}

/// What a supplier loses for a claim that expires, in upokt.
#[must_use]
pub fn slashed(stake: u128, proof_missing_penalty: u128) -> u128 {
    stake.min(proof_missing_penalty)
}
