//! Signing without sending: messages (EIP-191) and typed data (EIP-712).
//!
//! Neither can be a transaction: both are hashed behind a byte with which no transaction begins.

use alloy_primitives::{B256, eip191_hash_message, keccak256};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ServiceError;
use super::number::shown;
use super::view::SignatureView;
use super::{Service, check_running};

/// EIP-712's start of what is hashed.
const TYPED_DATA: [u8; 2] = [0x19, 0x01];

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TypedData<'a> {
    #[serde(borrow)]
    domain_separator: Option<&'a RawValue>,
    #[serde(borrow)]
    hash_struct_message: Option<&'a RawValue>,
}

impl Service {
    /// Signs a text with the key of the relayer's first account, as `personal_sign` does.
    pub async fn sign_message(
        &self,
        relayer: &str,
        body: &RawValue,
    ) -> Result<SignatureView, ServiceError> {
        let fields: Message<'_> = read(body)?;
        let raw = given("message", fields.message)?;
        let message: String = serde_json::from_str(raw.get()).map_err(|_| {
            ServiceError::Invalid(format!("message must be a string; found {}", shown(raw)))
        })?;
        self.sign(relayer, eip191_hash_message(message)).await
    }

    /// Signs typed data, of which the caller gives the two hashes, with the key of the relayer's first account.
    pub async fn sign_typed_data(
        &self,
        relayer: &str,
        body: &RawValue,
    ) -> Result<SignatureView, ServiceError> {
        let fields: TypedData<'_> = read(body)?;
        let domain = hash("domain_separator", fields.domain_separator)?;
        let message = hash("hash_struct_message", fields.hash_struct_message)?;
        let whole = [&TYPED_DATA[..], domain.as_slice(), message.as_slice()].concat();
        self.sign(relayer, keccak256(whole)).await
    }

    async fn sign(&self, relayer: &str, hash: B256) -> Result<SignatureView, ServiceError> {
        let served = self.relayer(relayer)?;
        check_running(&served.relayer)?;
        let signer = served.signers.first().ok_or(ServiceError::NotSupported(
            "This relayer's signer is not in this process",
        ))?;
        let signature = signer.sign_hash(hash).await?;
        let mut bytes = [0; 65];
        bytes[..32].copy_from_slice(&signature.r.to_be_bytes::<32>());
        bytes[32..64].copy_from_slice(&signature.s.to_be_bytes::<32>());
        bytes[64] = u8::from(signature.y_parity);
        let view = SignatureView::of(&bytes);
        view.ok_or_else(|| ServiceError::Defect("a signature of 65 bytes has parts".to_owned()))
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a RawValue) -> Result<T, ServiceError> {
    if !body.get().starts_with('{') {
        let text = format!("body must be a JSON object; found {}", shown(body));
        return Err(ServiceError::Invalid(text));
    }
    serde_json::from_str(body.get())
        .map_err(|error| ServiceError::Invalid(format!("body: {error}")))
}

fn given<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<&'a RawValue, ServiceError> {
    raw.ok_or_else(|| ServiceError::Invalid(format!("{field} is required; found nothing")))
}

fn hash(field: &str, raw: Option<&RawValue>) -> Result<B256, ServiceError> {
    let raw = given(field, raw)?;
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let hash = text.and_then(|text| text.parse().ok());
    hash.ok_or_else(|| {
        let rule = format!("{field} must be 32 bytes in hex; found {}", shown(raw));
        ServiceError::Invalid(rule)
    })
}
