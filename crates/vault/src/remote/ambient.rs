//! What the environment says of services and credentials, for all signers of a process alike.

use crate::Secret;

/// What the environment says. The variable that each value comes from stands beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ambient {
    /// Of AWS.
    pub aws: AwsAmbient,
    /// Of Azure.
    pub azure: AzureAmbient,
    /// `BATON_TURNKEY_URL`: another address than Turnkey's own.
    pub turnkey_url: Option<String>,
    /// `BATON_COINBASE_URL`: another address than the Coinbase Developer Platform's own.
    pub cdp_url: Option<String>,
}

/// What the environment says of AWS. Credentials are looked for in this order: keys, web identity,
/// shared file, container, instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsAmbient {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<Secret>,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`.
    pub web_identity_token_file: Option<String>,
    /// `AWS_ROLE_ARN`.
    pub role_arn: Option<String>,
    /// `AWS_ROLE_SESSION_NAME`.
    pub role_session_name: Option<String>,
    /// `AWS_ENDPOINT_URL_STS`.
    pub sts_endpoint: Option<String>,
    /// `AWS_SHARED_CREDENTIALS_FILE`, or `.aws/credentials` in `HOME`.
    pub shared_file: Option<String>,
    /// `AWS_PROFILE`.
    pub profile: Option<String>,
    /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
    pub container_relative_uri: Option<String>,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub container_full_uri: Option<String>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`.
    pub container_token: Option<Secret>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
    pub container_token_file: Option<String>,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub metadata_endpoint: Option<String>,
    /// `AWS_EC2_METADATA_DISABLED`.
    pub metadata_disabled: bool,
    /// `AWS_ENDPOINT_URL_KMS`.
    pub kms_endpoint: Option<String>,
}

/// What the environment says of Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureAmbient {
    /// `AZURE_TENANT_ID`, for workload identities.
    pub tenant_id: Option<String>,
    /// `AZURE_CLIENT_ID`, for workload identities.
    pub client_id: Option<String>,
    /// `AZURE_FEDERATED_TOKEN_FILE`, for workload identities.
    pub federated_token_file: Option<String>,
    /// `AZURE_AUTHORITY_HOST`: another token service than the vault's cloud has.
    pub authority_host: Option<String>,
    /// `AZURE_IMDS_TOKEN_URL`: another metadata service than the machine's.
    pub token_url: Option<String>,
}
