//! Error codes: of the chain, and of what relayers answer with.
//!
//! A code means something only within its codespace. The chain wraps the errors of claims and proofs, so their codes
//! are not always there; [`Refusal::of`] goes by the text as well.

use crate::message::RelayMinerError;

/// Declares a codespace: the name, and its codes with what they mean.
macro_rules! codespace {
    ($(#[$doc:meta])* $name:ident = $space:literal { $($code:literal $variant:ident $meaning:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl $name {
            /// The codespace.
            pub const CODESPACE: &str = $space;

            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code within the codespace.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// What it means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                }
            }

            /// The error of an answer that is no relay. `message` is for the caller to read: it holds no secret.
            #[must_use]
            pub fn to_error(self, message: impl Into<String>) -> RelayMinerError {
                RelayMinerError {
                    codespace: Self::CODESPACE.to_owned(),
                    code: self.code(),
                    description: self.meaning().to_owned(),
                    message: message.into(),
                }
            }

            /// What a code means. None when the codespace has no such code.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

codespace! {
    /// The chain's errors about claims and proofs.
    ProofCode = "proof" {
        1100 InvalidSigner "invalid signer",
        1101 InvalidAddress "invalid address",
        1102 NotFound "not found",
        1103 InvalidService "invalid service",
        1104 InvalidClaimRootHash "invalid claim root hash",
        1105 InvalidQueryRequest "invalid query request",
        1106 ClaimNotFound "claim not found",
        1107 ProofNotFound "proof not found",
        1108 InvalidProof "invalid proof",
        1109 InvalidRelay "invalid relay",
        1110 InvalidRelayRequest "invalid relay request",
        1111 InvalidRelayResponse "invalid relay response",
        1112 NotSecp256k1 "not a secp256k1 key",
        1113 ApplicationNotFound "application not found",
        1114 PublicKeyNotFound "public key not found",
        1115 InvalidSessionHeader "invalid session header",
        1116 InvalidSessionId "invalid session id",
        1117 InvalidSessionEndHeight "invalid session end height",
        1118 InvalidSessionStartHeight "invalid session start height",
        1119 InvalidParameterName "invalid parameter name",
        1120 InvalidParameter "invalid parameter",
        1121 ClaimOutsideWindow "claim outside of its window",
        1122 ProofOutsideWindow "proof outside of its window",
        1123 SupplierMismatch "supplier mismatch",
        1124 AccountNotFound "account not found",
        1125 ServiceNotFound "service not found",
        1126 ComputeUnitsMismatch "compute units mismatch",
        1127 NotEnoughFunds "not enough funds",
        1128 FeeNotDeducted "fee could not be deducted",
        1129 ProofNotRequired "proof not required",
        1130 InvalidRelayDifficulty "invalid relay difficulty",
        1131 InvalidClaimedAmount "invalid claimed amount",
    }
}

codespace! {
    /// The chain's errors about sessions.
    SessionCode = "session" {
        1100 InvalidSigner "invalid signer",
        1101 Hydration "session could not be assembled",
        1102 ApplicationNotFound "application not found",
        1103 ApplicationNotStaked "application not staked for the service",
        1104 SuppliersNotFound "suppliers not found",
        1105 InvalidApplicationAddress "invalid application address",
        1107 InvalidBlockHeight "invalid block height",
        1108 InvalidSessionId "invalid session id",
        1109 ApplicationNotActive "application not active",
        1110 InvalidParameter "invalid parameter",
    }
}

codespace! {
    /// The chain's errors about services and relays.
    ServiceCode = "service" {
        1110 InvalidRelayResponse "invalid relay response",
        1111 InvalidRelayRequest "invalid relay request",
        1116 MissingDifficulty "missing relay mining difficulty",
        1117 NotFound "not found",
    }
}

codespace! {
    /// The chain's errors about what modules share.
    SharedCode = "shared" {
        1101 InvalidAddress "invalid address",
        1107 InvalidService "invalid service",
        1108 InvalidServiceId "invalid service id",
        1110 InvalidComputeUnits "invalid compute units per relay",
    }
}

codespace! {
    /// The chain's errors about suppliers.
    SupplierCode = "supplier" {
        1103 NotFound "not found",
        1105 Unstaking "unstaking",
        1106 ServiceNotFound "service not found",
    }
}

codespace! {
    /// The chain framework's errors about unordered transactions, which claims and proofs travel in.
    SdkCode = "sdk" {
        18 InvalidRequest "time-out too far ahead, or used already by another transaction",
        42 TimedOut "time-out passed",
    }
}

codespace! {
    /// What a relayer answers when it does not serve a request.
    ProxyCode = "relayer_proxy" {
        1 InvalidSession "invalid session",
        2 ServicesUndefined "services are not configured",
        3 EndpointNotHandled "endpoint not handled",
        4 UnsupportedTransport "unsupported transport",
        5 Internal "internal error",
        6 UnknownSession "unknown session",
        7 RateLimited "rate limited",
        8 CostUnknown "cost of the relay could not be computed",
        9 SupplierNotReachable "supplier not reachable",
        10 TimedOut "timed out",
        11 BodyTooLarge "body too large",
        12 ResponseTooLarge "response too large",
        13 RequestTooLarge "request too large",
        14 UndecodableRequest "relay request could not be decoded",
    }
}

codespace! {
    /// What a relayer answers when a request is not authentic.
    AuthenticatorCode = "relay_authenticator" {
        1 InvalidSession "invalid session",
        2 SupplierNotInSession "supplier not in session",
        3 UndefinedSigner "signer not defined",
        4 InvalidRelayRequest "invalid relay request",
        5 InvalidRelayResponse "invalid relay response",
        6 MissingSupplier "supplier operator address missing",
    }
}

codespace! {
    /// What is wrong with a request's ring signature.
    RingCode = "rings" {
        1 NotSecp256k1 "not a secp256k1 key",
        2 InvalidRelayRequest "invalid relay request",
        3 InvalidSignature "invalid relay request signature",
    }
}

/// What to do about a claim or proof that the chain refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too early or too late: the same transaction is never taken.
    OutsideWindow,
    /// No proof is wanted: as good as proven.
    NotRequired,
    /// The supplier's account cannot pay: somebody has to fund it.
    Funds,
    /// The time-out of an unordered transaction passed, is too far ahead or was used: sign again with another.
    TimeOut,
    /// Anything else: it may pass when it is sent again.
    Other,
}

impl Refusal {
    /// Longest text that is read. A log of the chain has some hundred bytes.
    const TEXT_MAX: usize = 4096;

    /// The meaning of a refusal: codespace and code as the chain gives them, and its log.
    #[must_use]
    pub fn of(codespace: &str, code: u32, log: &str) -> Self {
        match codespace {
            ProofCode::CODESPACE => match ProofCode::from_code(code) {
                Some(ProofCode::ClaimOutsideWindow | ProofCode::ProofOutsideWindow) => {
                    return Self::OutsideWindow;
                }
                Some(ProofCode::ProofNotRequired) => return Self::NotRequired,
                Some(ProofCode::NotEnoughFunds | ProofCode::FeeNotDeducted) => return Self::Funds,
                _ => {}
            },
            SdkCode::CODESPACE if code == SdkCode::TimedOut.code() => return Self::TimeOut,
            _ => {}
        }
        Self::of_text(log)
    }

    fn of_text(log: &str) -> Self {
        let end = log.floor_char_boundary(Self::TEXT_MAX);
        let text = log[..end].to_ascii_lowercase();
        let says = |part: &str| text.contains(part);
        if says("proof not required") {
            Self::NotRequired
        } else if says("claim window") || says("proof window") {
            Self::OutsideWindow
        } else if says("insufficient funds") {
            Self::Funds
        } else if says("unordered tx ttl") || says("already used timeout") {
            Self::TimeOut
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_come_back() {
        for code in ProofCode::ALL {
            assert_eq!(ProofCode::from_code(code.code()), Some(*code));
        }
        for code in ProxyCode::ALL {
            assert_eq!(ProxyCode::from_code(code.code()), Some(*code));
        }
        assert_eq!((ProofCode::ALL.len(), ProxyCode::ALL.len()), (32, 14));
        assert_eq!(ProofCode::from_code(1132), None);
        assert_eq!(
            SessionCode::from_code(1106),
            None,
            "the chain has a gap there"
        );
        assert_eq!(ProofCode::ProofNotRequired.code(), 1129);
        let error = ProxyCode::TimedOut.to_error("no answer within 30 s");
        let text = (error.codespace.as_str(), error.code, error.message.as_str());
        assert_eq!(text, ("relayer_proxy", 10, "no answer within 30 s"));
        assert_eq!(
            RingCode::InvalidSignature.meaning(),
            "invalid relay request signature"
        );
    }

    #[test]
    fn refusals_are_read_by_code_or_by_text() {
        let cases = [
            ("proof", 1121, "", Refusal::OutsideWindow),
            ("proof", 1122, "", Refusal::OutsideWindow),
            ("proof", 1129, "", Refusal::NotRequired),
            ("proof", 1127, "", Refusal::Funds),
            ("proof", 1108, "invalid proof", Refusal::Other),
            ("sdk", 42, "", Refusal::TimeOut),
            (
                "sdk",
                18,
                "unordered tx ttl exceeds 10m0s",
                Refusal::TimeOut,
            ),
            ("sdk", 18, "already used timeout 5", Refusal::TimeOut),
            ("sdk", 18, "invalid request", Refusal::Other),
            (
                "sdk",
                5,
                "5upokt is smaller than 6upokt: insufficient funds",
                Refusal::Funds,
            ),
            (
                "",
                9,
                "rpc error: Proof Window of session is closed",
                Refusal::OutsideWindow,
            ),
            (
                "undefined",
                1,
                "proof not required for claim",
                Refusal::NotRequired,
            ),
            ("session", 1121, "", Refusal::Other),
        ];
        for (codespace, code, log, expected) in cases {
            assert_eq!(
                Refusal::of(codespace, code, log),
                expected,
                "{codespace} {code} {log}"
            );
        }
        let far = format!("{}é insufficient funds", "x".repeat(4095));
        assert_eq!(
            Refusal::of("", 1, &far),
            Refusal::Other,
            "a text is read up to a limit"
        );
    }
}
