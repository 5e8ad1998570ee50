//! How fast a local key signs.

use baton_model::B256;
use baton_vault::{LocalSigner, Signature};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

#[divan::bench]
fn sign_hash(bencher: Bencher<'_, '_>) {
    let signer = LocalSigner::from_bytes(&[0x46; 32]).expect("a valid key");
    bencher
        .counter(ItemsCount::new(1u32))
        .bench(|| -> Signature { signer.sign(divan::black_box(B256::repeat_byte(0x2a))) });
}
