//! The protobuf messages of Pocket's chain and of relays.
//!
//! The types are generated from the files in `crates/pocket/proto`; `tests/generated.rs` holds them to it. They encode
//! and decode with [`Message`]. What gogoproto calls non-null is a plain field here, always on the wire.
//!
//! Hashes are over what a decoded message encodes to, never over the bytes received: unknown fields are dropped, and
//! what came in another order leaves in the order of field numbers. Relays and HTTP payloads, which come from
//! strangers, have decoders of their own in [`crate::relay`] and [`crate::http`], with limits and exact errors.

/// Packages of the Cosmos SDK.
pub mod cosmos {
    /// `cosmos.base`.
    pub mod base {
        /// `cosmos.base.v1beta1`: coins.
        pub mod v1beta1 {
            include!("message/generated/cosmos.base.v1beta1.rs");
        }
        /// `cosmos.base.query`.
        pub mod query {
            /// `cosmos.base.query.v1beta1`: pages.
            pub mod v1beta1 {
                include!("message/generated/cosmos.base.query.v1beta1.rs");
            }
        }
    }
}

/// Packages of Pocket's chain.
pub mod pocket {
    /// `pocket.application`.
    pub mod application {
        include!("message/generated/pocket.application.rs");
    }
    /// `pocket.proof`: claims and proofs.
    pub mod proof {
        include!("message/generated/pocket.proof.rs");
    }
    /// `pocket.service`: relays, services, difficulty.
    pub mod service {
        include!("message/generated/pocket.service.rs");
    }
    /// `pocket.session`.
    pub mod session {
        include!("message/generated/pocket.session.rs");
    }
    /// `pocket.shared`: services, suppliers, the parameters of sessions.
    pub mod shared {
        include!("message/generated/pocket.shared.rs");
    }
    /// `pocket.supplier`.
    pub mod supplier {
        include!("message/generated/pocket.supplier.rs");
    }
    /// `pocket.tokenomics`.
    pub mod tokenomics {
        include!("message/generated/pocket.tokenomics.rs");
    }
}

/// Packages of the client's library.
pub mod sdk {
    /// `sdk.types`: HTTP inside relays.
    pub mod types {
        include!("message/generated/sdk.types.rs");
    }
}

pub use prost::Message;

pub use cosmos::base::v1beta1::Coin;
pub use pocket::application::Application;
pub use pocket::service::{
    Relay, RelayMinerError, RelayRequest, RelayRequestMetadata, RelayResponse,
    RelayResponseMetadata,
};
pub use pocket::session::SessionHeader;
pub use sdk::types::{Header, PokthttpRequest, PokthttpResponse};
