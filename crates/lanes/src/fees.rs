//! What to bid.

use baton_model::{ChainProfile, EvmPolicy, Fees, Pricing, Speed};

/// Percentiles of the rewards in `eth_feeHistory` that stand for the speeds, slowest first
/// (OpenZeppelin Relayer's choice).
pub const SPEED_PERCENTILES: [u8; 4] = [30, 50, 85, 99];

/// Share of `eth_gasPrice`, in percent, that stands for a speed where there is no base fee, slowest first.
const LEGACY_SPEED_PERCENT: [u128; 4] = [100, 125, 150, 200];

/// Least tip, in wei per gas. A quiet chain's rewards are zero, and geth's pool refuses what tips nothing (its
/// `--txpool.pricelimit` is 1).
const TIP_MIN: u128 = 1;

/// How long a bid has to stay above a base fee that rises as fast as it can, in milliseconds.
const BASE_FEE_HEADROOM_MS: u64 = 90_000;

/// Square root of 1.125, the most that a base fee rises per block (EIP-1559), in millionths: half a block's rise.
const HALF_BLOCK_RISE_PPM: u128 = 1_060_660;

/// Most that the headroom multiplies the base fee, in millionths.
const HEADROOM_MAX_PPM: u128 = 10_000_000;

/// The fee market at a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketView {
    /// Base fee of the next block, in wei per gas; `None` where there is none.
    pub base_fee: Option<u128>,
    /// Tips for the speeds, slowest first, in wei per gas.
    pub tips: [u128; 4],
    /// `eth_gasPrice`, in wei per gas.
    pub gas_price: u128,
}

/// Why nothing is bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeHold {
    /// The relayer's cap is below what a block demands now.
    Cap {
        /// Wei per gas.
        cap: u128,
        /// What is needed, in wei per gas.
        needed: u128,
    },
    /// The caller's own price is below what a block demands now.
    Price {
        /// Wei per gas.
        price: u128,
        /// What is needed, in wei per gas.
        needed: u128,
    },
}

impl FeeHold {
    /// The reason for people.
    pub fn reason(self) -> String {
        match self {
            Self::Cap { cap, needed } => {
                format!("held: fee cap {cap} wei is below the {needed} wei per gas needed now")
            }
            Self::Price { price, needed } => {
                format!("held: gas price {price} wei is below the base fee {needed} wei")
            }
        }
    }
}

/// The bid of a request's first attempt.
///
/// # Errors
/// Why nothing is bid now.
pub fn first_bid(
    pricing: Pricing,
    market: &MarketView,
    policy: &EvmPolicy,
    profile: &ChainProfile,
) -> Result<Fees, FeeHold> {
    let base_fee = market.base_fee.unwrap_or(0);
    let fees = match pricing {
        Pricing::Legacy { gas_price } => Fees::Legacy { gas_price },
        Pricing::Eip1559 {
            max_fee,
            max_priority_fee,
        } => Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        },
        Pricing::Speed(speed) => {
            if let Some(cap) = policy.gas_price_cap
                && cap < base_fee
            {
                return Err(FeeHold::Cap {
                    cap,
                    needed: base_fee,
                });
            }
            return Ok(market_bid(speed, market, policy, profile));
        }
    };
    let price = fees.max_per_gas();
    if price < base_fee {
        return Err(FeeHold::Price {
            price,
            needed: base_fee,
        });
    }
    Ok(fees)
}

/// What the market asks at a speed, clamped to the cap.
pub(crate) fn market_bid(
    speed: Speed,
    market: &MarketView,
    policy: &EvmPolicy,
    profile: &ChainProfile,
) -> Fees {
    let cap = policy.gas_price_cap.unwrap_or(u128::MAX);
    let dynamic = profile.eip1559 && policy.eip1559_pricing.unwrap_or(true);
    match market.base_fee {
        Some(base_fee) if dynamic => {
            let tip = market.tips[speed as usize].max(TIP_MIN);
            let max_fee = with_headroom(base_fee, profile)
                .saturating_add(tip)
                .min(cap);
            Fees::Eip1559 {
                max_fee,
                max_priority_fee: tip.min(max_fee),
            }
        }
        Some(_) | None => {
            let percent = LEGACY_SPEED_PERCENT[speed as usize];
            let price = market.gas_price.saturating_mul(percent) / 100;
            Fees::Legacy {
                gas_price: price.min(cap),
            }
        }
    }
}

/// The least bid that every client's pool takes as a replacement: 10 % more on each field, rounded up, and more by one
/// wei at least (geth `core/txpool/legacypool`, erigon, reth, Nethermind, Besu).
pub fn least_replacement(old: Fees) -> Fees {
    match old {
        Fees::Legacy { gas_price } => Fees::Legacy {
            gas_price: raised(gas_price),
        },
        Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        } => Fees::Eip1559 {
            max_fee: raised(max_fee),
            max_priority_fee: raised(max_priority_fee),
        },
    }
}

/// The bid that replaces `old`: what the market asks, but at least [`least_replacement`], in the type of `old`.
pub(crate) fn replacement_bid(old: Fees, market: Fees, cap: Option<u128>) -> Result<Fees, FeeHold> {
    let least = least_replacement(old);
    if let Some(cap) = cap
        && least.max_per_gas() > cap
    {
        return Err(FeeHold::Cap {
            cap,
            needed: least.max_per_gas(),
        });
    }
    let ceiling = cap.unwrap_or(u128::MAX);
    let max = least.max_per_gas().max(market.max_per_gas().min(ceiling));
    Ok(match least {
        Fees::Legacy { .. } => Fees::Legacy { gas_price: max },
        Fees::Eip1559 {
            max_priority_fee, ..
        } => {
            let tip = max_priority_fee.max(market.tip_per_gas().min(ceiling));
            // A tip that had to rise above its cap lifts the cap: both fields obey the bump rule.
            let max_fee = max.max(max_priority_fee);
            Fees::Eip1559 {
                max_fee,
                max_priority_fee: tip.min(max_fee),
            }
        }
    })
}

/// Whether `new` may replace `old` at a node.
pub fn replaces(old: Fees, new: Fees) -> bool {
    let least = least_replacement(old);
    new.max_per_gas() >= least.max_per_gas() && new.tip_per_gas() >= least.tip_per_gas()
}

fn raised(fee: u128) -> u128 {
    let tenth = fee / 10 + u128::from(!fee.is_multiple_of(10));
    fee.saturating_add(tenth.max(1))
}

fn with_headroom(base_fee: u128, profile: &ChainProfile) -> u128 {
    let half_blocks = 2 * BASE_FEE_HEADROOM_MS / profile.average_block_time_ms.max(1);
    let mut factor = 1_000_000;
    for _ in 0..half_blocks {
        factor = factor * HALF_BLOCK_RISE_PPM / 1_000_000;
        if factor >= HEADROOM_MAX_PPM {
            factor = HEADROOM_MAX_PPM;
            break;
        }
    }
    base_fee.saturating_mul(factor) / 1_000_000
}

#[cfg(test)]
mod tests {
    use baton_model::Mempool;
    use proptest::prelude::*;

    use super::*;

    fn profile(block_ms: u64, eip1559: bool) -> ChainProfile {
        ChainProfile {
            name: "test".to_owned(),
            chain_id: 1,
            required_confirmations: 1,
            average_block_time_ms: block_ms,
            eip1559,
            symbol: "ETH".to_owned(),
            is_testnet: true,
            tags: Vec::new(),
            mempool: Mempool::Public,
            in_flight_max: 16,
            nonce_window: None,
            l1_data_fee: false,
        }
    }

    fn market(base_fee: u128) -> MarketView {
        MarketView {
            base_fee: Some(base_fee),
            tips: [1, 2, 3, 4],
            gas_price: 100,
        }
    }

    #[test]
    fn headroom_is_the_rise_of_ninety_seconds_and_at_most_tenfold() {
        let policy = EvmPolicy::default();
        let bid = market_bid(
            Speed::Fast,
            &market(1_000_000),
            &policy,
            &profile(12_000, true),
        );
        // 1.125^7.5 = 2.419
        assert!(matches!(
            bid,
            Fees::Eip1559 {
                max_fee: 2_418_000..=2_420_000,
                max_priority_fee: 3
            }
        ));
        let bid = market_bid(
            Speed::Fast,
            &market(1_000_000),
            &policy,
            &profile(1_000, true),
        );
        assert_eq!(
            bid,
            Fees::Eip1559 {
                max_fee: 10_000_003,
                max_priority_fee: 3
            }
        );
    }

    #[test]
    fn a_chain_that_rewards_nothing_is_still_tipped() {
        let quiet = MarketView {
            tips: [0; 4],
            ..market(1_000)
        };
        let bid = market_bid(
            Speed::SafeLow,
            &quiet,
            &EvmPolicy::default(),
            &profile(1_000, true),
        );
        assert_eq!(
            bid,
            Fees::Eip1559 {
                max_fee: 10_001,
                max_priority_fee: 1
            }
        );
    }

    #[test]
    fn without_a_base_fee_speeds_are_shares_of_the_gas_price() {
        let market = MarketView {
            base_fee: None,
            tips: [0; 4],
            gas_price: 1_000,
        };
        let prices = [Speed::SafeLow, Speed::Average, Speed::Fast, Speed::Fastest].map(|speed| {
            market_bid(
                speed,
                &market,
                &EvmPolicy::default(),
                &profile(3_000, false),
            )
            .max_per_gas()
        });
        assert_eq!(prices, [1_000, 1_250, 1_500, 2_000]);
    }

    #[test]
    fn the_cap_clamps_and_then_holds() {
        let policy = EvmPolicy {
            gas_price_cap: Some(1_500),
            ..EvmPolicy::default()
        };
        let profile = profile(12_000, true);
        let speed = Pricing::Speed(Speed::Fast);
        let clamped = Fees::Eip1559 {
            max_fee: 1_500,
            max_priority_fee: 3,
        };
        assert_eq!(
            first_bid(speed, &market(1_000), &policy, &profile),
            Ok(clamped)
        );
        assert_eq!(
            first_bid(speed, &market(1_501), &policy, &profile),
            Err(FeeHold::Cap {
                cap: 1_500,
                needed: 1_501
            })
        );
    }

    proptest! {
        #[test]
        fn a_replacement_obeys_the_bump_rule_on_both_fields_and_the_cap(
            max in 0_u128..1 << 60, tip in 0_u128..1 << 60,
            base in 0_u128..1 << 60, cap in proptest::option::of(0_u128..1 << 62),
        ) {
            let old = Fees::Eip1559 { max_fee: max.max(tip), max_priority_fee: tip };
            let fresh = Fees::Eip1559 { max_fee: base, max_priority_fee: base / 3 };
            match replacement_bid(old, fresh, cap) {
                Ok(new) => {
                    prop_assert!(replaces(old, new));
                    prop_assert!(new.max_per_gas() * 10 >= old.max_per_gas() * 11);
                    prop_assert!(new.tip_per_gas() * 10 >= old.tip_per_gas() * 11);
                    prop_assert!(new.tip_per_gas() <= new.max_per_gas());
                    prop_assert!(cap.is_none_or(|cap| new.max_per_gas() <= cap));
                }
                Err(FeeHold::Cap { needed, .. }) => prop_assert!(needed > cap.unwrap()),
                Err(FeeHold::Price { .. }) => prop_assert!(false),
            }
        }
    }
}
