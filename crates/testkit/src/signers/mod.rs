//! Key services on loopback sockets. They check what their models check (tokens, request
//! signatures, key names), answer as those do, and fail as they are told.
//!
//! What they check is computed here from their documentation, with other libraries than the signers
//! use where there are two.

mod aws;
mod azure;
mod cdp;
mod control;
mod google;
mod jwt;
mod key;
mod server;
mod turnkey;
mod vault;
mod vault_dev;

pub use aws::{AwsFake, AwsKey};
pub use azure::AzureFake;
pub use cdp::CdpFake;
pub use control::{KeyFault, KeyServiceControl, Step, Times};
pub use google::GoogleFake;
pub use key::ServiceKey;
pub use server::KeyService;
pub use turnkey::TurnkeyFake;
pub use vault::{VaultFake, VaultKey};
pub use vault_dev::VaultDev;
