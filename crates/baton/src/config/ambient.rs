//! What the environment says of key services: the names are those that the services' own tools read.

use std::path::Path;

use baton_vault::Secret;
use baton_vault::remote::{Ambient, AwsAmbient, AzureAmbient};

use super::variables::Variables;

/// Reads it. What is wrong is told by the signer that wants to use it.
pub(crate) fn ambient(variables: &dyn Variables) -> Ambient {
    let text = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    Ambient {
        aws: aws(variables),
        azure: AzureAmbient {
            tenant_id: text("AZURE_TENANT_ID"),
            client_id: text("AZURE_CLIENT_ID"),
            federated_token_file: text("AZURE_FEDERATED_TOKEN_FILE"),
            authority_host: text("AZURE_AUTHORITY_HOST"),
            token_url: text("AZURE_IMDS_TOKEN_URL"),
        },
        turnkey_url: text("BATON_TURNKEY_URL"),
        cdp_url: text("BATON_COINBASE_URL"),
    }
}

fn aws(variables: &dyn Variables) -> AwsAmbient {
    let text = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let in_home = || {
        let file = Path::new(&text("HOME")?).join(".aws").join("credentials");
        Some(file.display().to_string())
    };
    let is_true = |value: String| value.eq_ignore_ascii_case("true");
    AwsAmbient {
        access_key_id: text("AWS_ACCESS_KEY_ID"),
        secret_access_key: text("AWS_SECRET_ACCESS_KEY").map(Secret::new),
        session_token: text("AWS_SESSION_TOKEN").map(Secret::new),
        web_identity_token_file: text("AWS_WEB_IDENTITY_TOKEN_FILE"),
        role_arn: text("AWS_ROLE_ARN"),
        role_session_name: text("AWS_ROLE_SESSION_NAME"),
        sts_endpoint: text("AWS_ENDPOINT_URL_STS").or_else(|| text("AWS_ENDPOINT_URL")),
        shared_file: text("AWS_SHARED_CREDENTIALS_FILE").or_else(in_home),
        profile: text("AWS_PROFILE"),
        container_relative_uri: text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        container_full_uri: text("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        container_token: text("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
        container_token_file: text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        metadata_endpoint: text("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        metadata_disabled: text("AWS_EC2_METADATA_DISABLED").is_some_and(is_true),
        kms_endpoint: text("AWS_ENDPOINT_URL_KMS").or_else(|| text("AWS_ENDPOINT_URL")),
    }
}
