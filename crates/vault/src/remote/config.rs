//! What a configuration says of remote signers. Plain data: nothing is read or asked here.

use std::fmt;

use baton_model::Address;

use crate::Secret;

/// One remote signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteConfig {
    /// A key kept as a secret of HashiCorp Vault, fetched at start.
    Vault(HashicorpConfig),
    /// A key of HashiCorp Vault's transit engine.
    VaultTransit(TransitConfig),
    /// A key of AWS KMS.
    AwsKms(AwsKmsConfig),
    /// A key of Google Cloud KMS.
    GoogleKms(GoogleKmsConfig),
    /// A key of Azure Key Vault or a managed HSM.
    Azure(AzureConfig),
    /// A private key of Turnkey.
    Turnkey(TurnkeyConfig),
    /// An account of the Coinbase Developer Platform.
    Cdp(CdpConfig),
}

/// Where HashiCorp Vault is, how to log in (AppRole), and the name of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashicorpConfig {
    /// `http` or `https` URL of the server.
    pub address: String,
    /// Namespace (Vault Enterprise, HCP).
    pub namespace: Option<String>,
    /// AppRole's role id.
    pub role_id: Secret,
    /// AppRole's secret id.
    pub secret_id: Secret,
    /// Path of the secret, or name of the transit key.
    pub key_name: String,
    /// Where the engine is mounted; `secret` (key-value) or `transit` when absent.
    pub mount_point: Option<String>,
}

/// A key of the transit engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitConfig {
    /// Server, role and key.
    pub vault: HashicorpConfig,
    /// The public key, as hexadecimal digits: it says which version of the key signs.
    pub pubkey: String,
}

/// A key of AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKmsConfig {
    /// Region, such as `eu-west-1`.
    pub region: String,
    /// Key id, key ARN, `alias/…` or alias ARN.
    pub key_id: String,
}

/// A key version of Google Cloud KMS and the service account that may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleKmsConfig {
    /// The service account's key file, field by field.
    pub service_account: GoogleServiceAccount,
    /// Location of the key ring, such as `global`.
    pub location: String,
    /// Key ring.
    pub key_ring_id: String,
    /// Key.
    pub key_id: String,
    /// Key version, from 1.
    pub key_version: u32,
}

/// What is used of a service account's key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleServiceAccount {
    /// Project of the key.
    pub project_id: String,
    /// Id of the private key.
    pub private_key_id: String,
    /// RSA key as PEM (PKCS #8).
    pub private_key: Secret,
    /// Name of the account.
    pub client_email: String,
    /// Where tokens are given.
    pub token_uri: String,
    /// `googleapis.com`, or another universe's domain, or a whole `http` or `https` URL of the
    /// service.
    pub universe_domain: String,
}

/// A key of Azure Key Vault or a managed HSM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureConfig {
    /// How tokens are got.
    pub identity: AzureIdentity,
    /// URL of the vault.
    pub vault_url: String,
    /// Key.
    pub key_name: String,
    /// Version; the latest at start when absent.
    pub key_version: Option<String>,
}

/// How Azure is told who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureIdentity {
    /// An application with a password.
    ClientSecret {
        /// Directory.
        tenant_id: String,
        /// Application.
        client_id: String,
        /// Its password.
        client_secret: Secret,
    },
    /// The identity of the machine.
    ManagedIdentity {
        /// A user-assigned one; the system's when absent.
        client_id: Option<String>,
    },
    /// An application that trusts a token of the cluster. What is absent is taken from the
    /// environment, where the cluster puts it.
    WorkloadIdentity {
        /// Directory.
        tenant_id: Option<String>,
        /// Application.
        client_id: Option<String>,
        /// File with the cluster's token, read again for each login.
        federated_token_file: Option<String>,
    },
}

/// A private key of Turnkey and the API key that may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnkeyConfig {
    /// API key's public half: compressed P-256 point, as hexadecimal digits.
    pub api_public_key: String,
    /// API key's private half: 32 bytes, as hexadecimal digits.
    pub api_private_key: Secret,
    /// Organization.
    pub organization_id: String,
    /// Private key, or the address of a wallet account.
    pub private_key_id: String,
    /// secp256k1 public key, as hexadecimal digits.
    pub public_key: String,
}

/// An account of the Coinbase Developer Platform and the keys that may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdpConfig {
    /// API key.
    pub api_key_id: String,
    /// API key's secret: Ed25519 in base64, or P-256 as PEM.
    pub api_key_secret: Secret,
    /// Wallet secret: P-256 (PKCS #8) in base64.
    pub wallet_secret: Secret,
    /// The account.
    pub account_address: Address,
}

impl RemoteConfig {
    /// The `type` of the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Vault(_) => "vault",
            Self::VaultTransit(_) => "vault_transit",
            Self::AwsKms(_) => "aws_kms",
            Self::GoogleKms(_) => "google_cloud_kms",
            Self::Azure(_) => "azure_key_vault",
            Self::Turnkey(_) => "turnkey",
            Self::Cdp(_) => "cdp",
        }
    }

    /// The cargo feature that has it.
    pub const fn feature(&self) -> &'static str {
        match self {
            Self::Vault(_) | Self::VaultTransit(_) => "vault",
            Self::AwsKms(_) => "aws-kms",
            Self::GoogleKms(_) => "google-kms",
            Self::Azure(_) => "azure",
            Self::Turnkey(_) => "turnkey",
            Self::Cdp(_) => "cdp",
        }
    }
}

impl fmt::Display for RemoteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
