//! What claims are worth and what relays may cost: against the chain's numbers, and against exact models.

use baton_pocket::difficulty::Target;
use baton_pocket::message::pocket::shared::Params;
use baton_pocket::price::{
    Budget, COMPUTE_UNITS_MAX, Price, PriceError, check_compute_units, check_sum, settlement_floor,
    slashed,
};
use baton_pocket::smst::Digest;
use num_bigint::BigUint;
use proptest::prelude::*;

use crate::{defaults, hex, mainnet, root};

#[test]
fn claims_have_the_worth_that_the_chain_gives_them() {
    let price = Price::new(&mainnet()).unwrap();
    let value = price.claim(&root(300, 3), &Target::BASE).unwrap();
    assert_eq!(value.upokt, 43, "43.797, rounded down once");
    assert_eq!(
        (value.estimated_compute_units, value.estimated_relays),
        (300, 3)
    );
    assert_eq!(
        (value.claimed_compute_units, value.claimed_relays),
        (300, 3)
    );
    assert_eq!(price.relay(100), 14);

    let half: [u8; 32] = std::array::from_fn(|index| if index == 0 { 0x7f } else { 0xff });
    let half = Target::new(&half).unwrap();
    let value = price.claim(&root(300, 3), &half).unwrap();
    assert_eq!(value.upokt, 87, "87.594: doubled before it is rounded");
    assert_eq!(
        (value.estimated_compute_units, value.estimated_relays),
        (600, 6)
    );

    let empty = price.claim(&Digest::EMPTY, &half);
    assert_eq!(
        empty,
        Err(PriceError::Zero {
            parameter: "count of relays"
        })
    );
    let worthless = price.claim(&root(2, 3), &half);
    assert_eq!(
        worthless,
        Err(PriceError::Zero {
            parameter: "compute units per relay"
        })
    );
    let least = Target::new(&hex::<32>(&format!("{:064x}", 1))).unwrap();
    let amount = "estimated compute units";
    assert_eq!(
        price.claim(&root(3, 3), &least),
        Err(PriceError::Overflow { amount })
    );
}

#[test]
fn a_claims_sum_is_what_its_relays_earn() {
    assert_eq!(check_sum(&root(300, 3), 100), Ok(()));
    let refusal = check_sum(&root(300, 3), 99).unwrap_err().to_string();
    assert_eq!(refusal, "claim: sum 300, but 3 relays at 99 make another");
    assert!(
        check_sum(&root(0, 1 << 63), 2).is_err(),
        "the product does not wrap"
    );
}

#[test]
fn budgets_are_charged_only_within_their_limits() {
    // 15 suppliers, one session pending beside the present one: 1_000_000 / 15 / 2, truncated twice.
    let mut budget = Budget::guaranteed(1_000_000, 15, 1);
    assert_eq!(budget.left(), 33_333);
    assert!(budget.charge(33_333) && !budget.charge(1) && budget.charge(0));
    assert_eq!((budget.left(), budget.consumed()), (0, 33_333));
    budget.refund(333);
    assert!(!budget.charge(334) && budget.charge(333));
    budget.resize(10);
    assert_eq!(budget.left(), 0, "what is spent stays spent");
    assert_eq!(
        Budget::guaranteed(10, 0, 0).left(),
        10,
        "no supplier counts as one"
    );
    assert_eq!(
        Budget::guaranteed(9, 2, 1).left(),
        2,
        "the order of divisions matters"
    );
}

#[test]
fn budgets_by_factor_are_rounded_as_floats_are() {
    let left = |stake, factor| Budget::by_factor(stake, factor).map(|budget| budget.left());
    assert_eq!(left(1_000_000, 0.1), Some(100_000));
    assert_eq!(left(999, 0.5), Some(499));
    assert_eq!(left(3, 2.5), Some(7));
    assert_eq!(
        left((1 << 53) + 1, 1.0),
        Some(1 << 53),
        "a float has 53 bits"
    );
    for factor in [-0.1, f64::NAN, f64::INFINITY] {
        assert_eq!(left(1, factor), None, "{factor}");
    }
}

#[test]
fn compute_units_have_a_range() {
    for found in [0, COMPUTE_UNITS_MAX + 1, u64::MAX] {
        let error = PriceError::ComputeUnits { found };
        assert_eq!(check_compute_units(found), Err(error));
    }
    assert_eq!(check_compute_units(1), Ok(()));
    assert_eq!(check_compute_units(2_097_152), Ok(()));
}

#[test]
fn settlement_pays_at_least_its_floor() {
    assert_eq!(settlement_floor(1_000, 3, 7, None), Some(47));
    assert_eq!(settlement_floor(1_000, 3, 7, Some(100)), Some(14));
    assert_eq!(settlement_floor(1_000, 3, 7, Some(5_000)), Some(47));
    assert_eq!(
        settlement_floor(1_000, 3, 7, Some(0)),
        Some(47),
        "0 is no limit"
    );
    assert_eq!(settlement_floor(1_000, 0, 7, None), None);
    assert_eq!(settlement_floor(1_000, 3, 0, None), None);
    assert_eq!((slashed(10, 320), slashed(1_000, 320)), (10, 320));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn claims_are_worth_what_big_integers_say(
        count in 1_u64..1 << 40,
        per_relay in 1_u64..=2_097_152,
        target in prop_oneof![any::<[u8; 32]>(), (0_usize..16, any::<[u8; 32]>()).prop_map(zeros)],
        multiplier in any::<u64>(),
        granularity in 1_u64..,
    ) {
        let params = Params {
            compute_units_to_tokens_multiplier: multiplier,
            compute_unit_cost_granularity: granularity,
            ..defaults()
        };
        let price = Price::new(&params).unwrap();
        let big = |number: u64| BigUint::from(number);
        let limit = BigUint::from(u128::MAX);
        let relay = big(per_relay) * multiplier / granularity;
        prop_assert_eq!(BigUint::from(price.relay(per_relay)), relay);
        prop_assume!(target != [0; 32]);
        let Some(sum) = count.checked_mul(per_relay) else { return Ok(()) };
        let base = BigUint::from_bytes_be(&[0xff; 32]);
        let divisor = BigUint::from_bytes_be(&target);
        let units = big(sum) * &base / &divisor;
        let upokt = big(sum) * &base * multiplier / (&divisor * granularity);
        match price.claim(&root(sum, count), &Target::new(&target).unwrap()) {
            Ok(value) => {
                prop_assert_eq!(BigUint::from(value.upokt), upokt);
                prop_assert_eq!(BigUint::from(value.estimated_relays), &units / per_relay);
                prop_assert_eq!(BigUint::from(value.estimated_compute_units), units);
            }
            Err(_) => prop_assert!(units > limit || upokt > limit),
        }
    }
}

/// A target with so many zero bytes at its start.
fn zeros((zeros, mut target): (usize, [u8; 32])) -> [u8; 32] {
    target[..zeros].fill(0);
    target
}
