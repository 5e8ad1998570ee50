use super::*;

/// Steps from the plain seed to the constant table.
const TABLE_STEPS: u64 = 7_800_000_000_000;

#[test]
fn numbers_are_those_of_go() {
    let cases: [(i64, u64); 6] = [
        (0, 0x3fee_3f0b_feb0_bf65),
        (1, 0x3fe3_5960_8841_ff3f),
        (-1, 0x3fd9_4ac0_ef84_0181),
        (42, 0x3fd7_dfb2_58cb_3fc6),
        (1 << 40, 0x3fe2_fa8b_f977_a222),
        (-123_456_789_012_345, 0x3fe3_0b27_ab54_524b),
    ];
    for (seed, bits) in cases {
        assert_eq!(GoRand::new(seed).float64().to_bits(), bits, "seed {seed}");
    }
    let first = |seed| {
        let mut rand = GoRand::new(seed);
        [rand.int63(), rand.int63()]
    };
    assert_eq!(
        first(0),
        [8_717_895_732_742_165_505, 2_259_404_117_704_393_152]
    );
    assert_eq!(
        first(1),
        [5_577_006_791_947_779_410, 8_674_665_223_082_153_551]
    );
}

#[test]
fn hashes_seed_as_they_do_on_the_chain() {
    let cases: [(&str, i64, u64); 7] = [
        ("", -69_766_194, 0x3fd0_39ae_0ae6_c37e),
        ("a", 18_884_069, 0x3fd6_663a_ec54_5282),
        ("pocket", 49, 0x3fd6_2504_37ac_7b0c),
        ("claim-0", -7_483, 0x3fe6_180d_324d_90ef),
        ("claim-1", 34, 0x3fef_3eb6_6c66_64b7),
        ("claim-3", 1_002_972, 0x3fb0_92bc_641f_7903),
        ("ovf-267", 0, 0x3fee_3f0b_feb0_bf65),
    ];
    for (text, seed, bits) in cases {
        let parts = [text.as_bytes()];
        assert_eq!(seed_of(&parts), seed, "{text}");
        assert_eq!(
            GoRand::from_parts(&parts).float64().to_bits(),
            bits,
            "{text}"
        );
    }
    assert_eq!(seed_of(&[b"cla", b"im", b"-0"]), -7_483, "parts are joined");
}

#[test]
fn a_number_that_is_too_long_seeds_with_zero() {
    let mut bytes = [0xff; 32];
    assert_eq!(varint(&bytes), None);
    bytes[9] = 1;
    assert_eq!(varint(&bytes), Some(i64::MIN));
    bytes[9] = 2;
    assert_eq!(varint(&bytes), None);
    assert_eq!(varint(&[0x80; 9]), None, "no end");
    assert_eq!(varint(&[1]), Some(-1));
    assert_eq!(varint(&[0x80, 0x01]), Some(64));
}

/// The table is the state of the same recurrence, y(n) = y(n-607) + y(n-273), far from a plain start: computed here by
/// raising x to that power modulo the recurrence's polynomial.
#[test]
fn the_table_is_what_it_is_defined_as() {
    let mut x: i64 = 1;
    let mut next = || {
        x = x * MULTIPLIER % MODULUS;
        x.cast_unsigned()
    };
    (0..WARM_UP).for_each(|_| {
        next();
    });
    let plain: [u64; LENGTH] = std::array::from_fn(|_| next() << 20 ^ next() << 10 ^ next());
    // The state is used from the feed downward, so the oldest number stands just before it.
    let mut sequence: Vec<u64> = (0..LENGTH).map(|k| plain[place(k as u64)]).collect();
    for k in LENGTH..2 * LENGTH {
        sequence.push(sequence[k - LENGTH].wrapping_add(sequence[k - TAP]));
    }
    let power = power_of_x(TABLE_STEPS);
    let mut table = [0_u64; LENGTH];
    for k in 0..LENGTH {
        let terms = power.iter().zip(&sequence[k..]);
        let value = terms.fold(0_u64, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(*b)));
        table[place(TABLE_STEPS + k as u64)] = value;
    }
    assert_eq!(table, COOKED);
    let bytes: Vec<u8> = table.iter().flat_map(|value| value.to_be_bytes()).collect();
    let hash: String = Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(
        hash,
        "71ca56841e25ce194c2600faac906bb84e97d268a3bc453ff9f1a1410af1d228"
    );
}

fn place(k: u64) -> usize {
    let length = LENGTH as u64;
    usize::try_from((LENGTH - TAP - 1) as u64 + length - k % length).unwrap() % LENGTH
}

fn power_of_x(steps: u64) -> Vec<u64> {
    let mut power = vec![0_u64; LENGTH];
    power[0] = 1;
    for shift in (0..u64::BITS - steps.leading_zeros()).rev() {
        let mut square = vec![0_u64; 2 * LENGTH];
        for (i, a) in power.iter().enumerate() {
            for (j, b) in power.iter().enumerate() {
                square[i + j] = square[i + j].wrapping_add(a.wrapping_mul(*b));
            }
        }
        if steps >> shift & 1 == 1 {
            square.rotate_right(1);
        }
        // x^607 = x^(607 - 273) + 1
        for degree in (LENGTH..2 * LENGTH).rev() {
            let excess = square[degree];
            for lower in [degree - LENGTH, degree - TAP] {
                square[lower] = square[lower].wrapping_add(excess);
            }
        }
        square.truncate(LENGTH);
        power = square;
    }
    power
}
