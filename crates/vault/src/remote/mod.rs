//! Keys that are kept elsewhere: a service holds the key and signs, or hands the key over.
//!
//! Each kind sits behind a cargo feature of this crate. Their settings are always known, so that a
//! program built without one can say so. All of them speak HTTP through one client with limits;
//! signing the same hash again has no effect anywhere, so every failed call may be repeated.

mod ambient;
mod config;
#[cfg(feature = "remote")]
mod fault;
#[cfg(feature = "remote")]
mod http;
#[cfg(any(feature = "google-kms", feature = "cdp"))]
mod jwt;
#[cfg(feature = "remote")]
mod patience;
#[cfg(feature = "remote")]
mod public_key;
#[cfg(feature = "remote")]
mod signer;
#[cfg(feature = "remote")]
mod token;

#[cfg(feature = "aws-kms")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "cdp")]
mod cdp;
#[cfg(feature = "google-kms")]
mod google;
#[cfg(feature = "vault")]
mod hashicorp;
#[cfg(feature = "turnkey")]
mod turnkey;

use std::sync::Arc;
use std::time::Duration;

use baton_model::{Blame, Classified, Retry, Timestamp};

use crate::Signer;

pub use ambient::{Ambient, AwsAmbient, AzureAmbient};
pub use config::{
    AwsKmsConfig, AzureConfig, AzureIdentity, CdpConfig, GoogleKmsConfig, GoogleServiceAccount,
    HashicorpConfig, RemoteConfig, TransitConfig, TurnkeyConfig,
};

/// Tells the time: credentials expire, and requests are signed with it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all remote signers of a process have in common.
#[derive(Clone)]
pub struct RemoteOptions {
    /// How long a service is waited for.
    pub limits: RemoteLimits,
    /// The time.
    pub clock: Clock,
    /// What the environment says.
    pub ambient: Ambient,
}

/// How long a service is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteLimits {
    /// Longest wait for one answer. Default 8 s: a signature takes such services 10 to 300 ms, and
    /// some seconds where a hardware module is at its limit.
    pub exchange: Duration,
    /// Longest wait for a signature with all repetitions. Default 20 s: below the 30 s after which
    /// a lane gives up on a question and asks it again.
    pub total: Duration,
    /// Most tries of one question. Default 4.
    pub tries: u32,
    /// Wait before the second try, then doubled. Default 200 ms.
    pub backoff: Duration,
}

/// Why a signer was not opened. No variant carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// This program was built without the kind.
    #[error("this build has no {kind} signers: build it with the feature `{feature}`")]
    NotBuilt {
        /// The `type` of the configuration.
        kind: &'static str,
        /// The cargo feature that has it.
        feature: &'static str,
    },
    /// A setting cannot be used.
    #[error("{field} {rule}")]
    Setting {
        /// Which one, as the configuration names it.
        field: &'static str,
        /// What it must be, and where it may be shown, what was found.
        rule: String,
    },
    /// The service cannot answer now.
    #[error("{reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// The service will not serve this key with these credentials, or the key is no account's.
    #[error("{reason}")]
    Refused {
        /// What went wrong, and what to do.
        reason: String,
    },
}

/// Opens a signer: asks the service for the key's public half, and checks it against what the
/// configuration says of it. `id` is the signer's, for errors.
///
/// # Errors
/// When the build lacks the kind, a setting cannot be used, or the service does not answer, refuses,
/// or holds another key.
#[cfg_attr(
    not(feature = "remote"),
    expect(unused_variables, reason = "no kind is built")
)]
pub async fn open(
    id: &str,
    config: &RemoteConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    match config {
        #[cfg(feature = "vault")]
        RemoteConfig::Vault(config) => hashicorp::open_key_value(config, options).await,
        #[cfg(feature = "vault")]
        RemoteConfig::VaultTransit(config) => hashicorp::open_transit(id, config, options).await,
        #[cfg(not(feature = "vault"))]
        RemoteConfig::Vault(_) | RemoteConfig::VaultTransit(_) => Err(not_built(config)),
        #[cfg(feature = "aws-kms")]
        RemoteConfig::AwsKms(config) => aws::open(id, config, options).await,
        #[cfg(not(feature = "aws-kms"))]
        RemoteConfig::AwsKms(_) => Err(not_built(config)),
        #[cfg(feature = "google-kms")]
        RemoteConfig::GoogleKms(config) => google::open(id, config, options).await,
        #[cfg(not(feature = "google-kms"))]
        RemoteConfig::GoogleKms(_) => Err(not_built(config)),
        #[cfg(feature = "azure")]
        RemoteConfig::Azure(config) => azure::open(id, config, options).await,
        #[cfg(not(feature = "azure"))]
        RemoteConfig::Azure(_) => Err(not_built(config)),
        #[cfg(feature = "turnkey")]
        RemoteConfig::Turnkey(config) => turnkey::open(id, config, options).await,
        #[cfg(not(feature = "turnkey"))]
        RemoteConfig::Turnkey(_) => Err(not_built(config)),
        #[cfg(feature = "cdp")]
        RemoteConfig::Cdp(config) => cdp::open(id, config, options).await,
        #[cfg(not(feature = "cdp"))]
        RemoteConfig::Cdp(_) => Err(not_built(config)),
    }
}

/// Used by the kinds that are left out.
#[cfg(not(all(
    feature = "vault",
    feature = "aws-kms",
    feature = "google-kms",
    feature = "azure",
    feature = "turnkey",
    feature = "cdp"
)))]
fn not_built(config: &RemoteConfig) -> OpenError {
    OpenError::NotBuilt {
        kind: config.kind(),
        feature: config.feature(),
    }
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self {
            exchange: Duration::from_secs(8),
            total: Duration::from_secs(20),
            tries: 4,
            backoff: Duration::from_millis(200),
        }
    }
}

impl Classified for OpenError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unavailable { .. } => Blame::Upstream,
            Self::NotBuilt { .. } | Self::Setting { .. } | Self::Refused { .. } => Blame::Operator,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // Opening reads only.
            Self::Unavailable { .. } => Retry::Safe,
            Self::NotBuilt { .. } | Self::Setting { .. } | Self::Refused { .. } => Retry::Never,
        }
    }
}
