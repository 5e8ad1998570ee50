//! What all kinds of remote signers have to withstand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baton_model::{Address, B256, Timestamp, U256};
use baton_testkit::signers::{KeyFault, KeyService, Step, Times};
use baton_vault::remote::{
    Ambient, Clock, OpenError, RemoteConfig, RemoteLimits, RemoteOptions, open,
};
use baton_vault::{Signature, Signer, SignerError};
use k256::ecdsa::{RecoveryId, Signature as Ecdsa, VerifyingKey};
use tokio::time::Instant;

/// Half of the group order of secp256k1: the highest `s` that EIP-2 allows.
const HALF_ORDER: U256 = U256::from_be_slice(&[
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
]);

/// Short enough that a test of silence does not take long.
fn limits() -> RemoteLimits {
    RemoteLimits {
        exchange: Duration::from_millis(1000),
        total: Duration::from_millis(2500),
        tries: 4,
        backoff: Duration::from_millis(5),
    }
}

/// Ordinary time.
#[expect(
    clippy::disallowed_methods,
    reason = "services tell by their own clock whether a request is too old"
)]
pub(crate) fn clock() -> Clock {
    Arc::new(|| {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp::default().saturating_add(since_epoch.unwrap())
    })
}

/// Time that is off by some seconds.
pub(crate) fn shifted_clock(seconds: u64) -> Clock {
    let real = clock();
    Arc::new(move || real().saturating_add(Duration::from_secs(seconds)))
}

/// Short limits, ordinary time.
pub(crate) fn options(ambient: &Ambient) -> RemoteOptions {
    RemoteOptions {
        limits: limits(),
        clock: clock(),
        ambient: ambient.clone(),
    }
}

/// Short limits, another time.
pub(crate) fn options_at(clock: Clock, ambient: &Ambient) -> RemoteOptions {
    RemoteOptions {
        clock,
        ..options(ambient)
    }
}

pub(crate) async fn opened(config: &RemoteConfig, ambient: &Ambient) -> Arc<dyn Signer> {
    open("hot", config, &options(ambient)).await.unwrap()
}

pub(crate) async fn refused(config: &RemoteConfig, ambient: &Ambient) -> OpenError {
    match open("hot", config, &options(ambient)).await {
        Ok(signer) => panic!("opened as {}", signer.address()),
        Err(error) => error,
    }
}

pub(crate) fn hash(index: u64) -> B256 {
    alloy_primitives::keccak256(index.to_be_bytes())
}

/// Checks a signature as a chain does.
pub(crate) fn check(signature: &Signature, hash: B256, account: Address) {
    let Signature { r, s, y_parity } = *signature;
    assert!(s <= HALF_ORDER, "s is low: {s}");
    let scalars = (r.to_be_bytes::<32>(), s.to_be_bytes::<32>());
    let ecdsa = Ecdsa::from_scalars(scalars.0, scalars.1).unwrap();
    let id = RecoveryId::new(y_parity, false);
    let key = VerifyingKey::recover_from_prehash(hash.as_slice(), &ecdsa, id).unwrap();
    let digest = alloy_primitives::keccak256(&key.to_sec1_point(false).as_bytes()[1..]);
    assert_eq!(Address::from_slice(&digest[12..]), account);
}

/// Everything that can go wrong with signing. `secrets` must show up in no error.
pub(crate) async fn withstands_all(
    service: &KeyService,
    signer: &Arc<dyn Signer>,
    account: Address,
    secrets: &[&str],
) {
    assert_eq!(signer.address(), account);
    signs_many(signer, account).await;
    repeats_what_passes(service, signer, account).await;
    refuses_another_key(service, signer).await;
    gives_up_in_time(service, signer).await;
    renews_credentials(service, signer, account).await;
    tells_no_secret(service, signer, secrets).await;
    // And none of it is remembered.
    signs_many(signer, account).await;
    waits_as_asked(service, signer, account).await;
}

async fn signs_many(signer: &Arc<dyn Signer>, account: Address) {
    let mut asked = tokio::task::JoinSet::new();
    for index in 0..80 {
        let signer = Arc::clone(signer);
        asked.spawn(async move { (index, signer.sign_hash(hash(index)).await) });
    }
    while let Some(signed) = asked.join_next().await {
        let (index, signature) = signed.unwrap();
        check(&signature.unwrap(), hash(index), account);
    }
}

async fn repeats_what_passes(service: &KeyService, signer: &Arc<dyn Signer>, account: Address) {
    let control = service.control();
    let passing = [
        (3, KeyFault::Status(500)),
        (3, KeyFault::Status(503)),
        (3, KeyFault::Cut),
        (3, KeyFault::Garbage),
        (3, KeyFault::NoSignature),
        (1, KeyFault::Hang),
        (1, KeyFault::Slow(Duration::from_millis(100))),
        (8, KeyFault::HighS),
    ];
    for (times, fault) in passing {
        control.fail(Some(Step::Sign), Times::Next(times), fault.clone());
        for index in 100..110 {
            let signature = signer.sign_hash(hash(index)).await;
            let signature = signature.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            check(&signature, hash(index), account);
        }
    }
}

async fn waits_as_asked(service: &KeyService, signer: &Arc<dyn Signer>, account: Address) {
    let control = service.control();
    let busy = |seconds| {
        let fault = KeyFault::Busy { seconds };
        control.fail(Some(Step::Sign), Times::Next(1), fault);
    };
    busy(1);
    let begun = Instant::now();
    let signature = signer.sign_hash(hash(200)).await.unwrap();
    check(&signature, hash(200), account);
    assert!(begun.elapsed() >= Duration::from_millis(990), "it waited");
    busy(5);
    let error = signer.sign_hash(hash(201)).await.unwrap_err();
    assert!(matches!(error, SignerError::Unavailable { .. }), "{error}");
    let asked = control.count(Step::Sign, 200);
    let error = signer.sign_hash(hash(202)).await.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    assert_eq!(control.count(Step::Sign, 200), asked, "it was left alone");
}

async fn refuses_another_key(service: &KeyService, signer: &Arc<dyn Signer>) {
    let control = service.control();
    control.fail(Some(Step::Sign), Times::Always, KeyFault::OtherKey);
    let error = signer.sign_hash(hash(300)).await.unwrap_err();
    control.recover();
    assert!(matches!(error, SignerError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("not by the key"), "{error}");
}

async fn gives_up_in_time(service: &KeyService, signer: &Arc<dyn Signer>) {
    let control = service.control();
    control.fail(None, Times::Always, KeyFault::Hang);
    let begun = Instant::now();
    let error = signer.sign_hash(hash(400)).await.unwrap_err();
    control.recover();
    assert!(matches!(error, SignerError::Unavailable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it gave up");
    let shown = error.to_string();
    assert!(shown.contains("signer \"hot\""), "{shown}");
    assert!(shown.contains("no answer within"), "{shown}");
}

async fn renews_credentials(service: &KeyService, signer: &Arc<dyn Signer>, account: Address) {
    let control = service.control();
    control.fail(Some(Step::Sign), Times::Next(1), KeyFault::Status(401));
    let signature = signer.sign_hash(hash(500)).await.unwrap();
    check(&signature, hash(500), account);
    control.fail(Some(Step::Sign), Times::Always, KeyFault::Status(401));
    let error = signer.sign_hash(hash(501)).await.unwrap_err();
    control.recover();
    assert!(matches!(error, SignerError::Refused { .. }), "{error}");
}

async fn tells_no_secret(service: &KeyService, signer: &Arc<dyn Signer>, secrets: &[&str]) {
    let control = service.control();
    for status in [400, 401, 403, 404, 429, 500] {
        control.fail(None, Times::Always, KeyFault::Status(status));
        let error = signer.sign_hash(hash(600)).await.unwrap_err();
        control.recover();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&status.to_string()), "{shown}");
        for secret in secrets {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
