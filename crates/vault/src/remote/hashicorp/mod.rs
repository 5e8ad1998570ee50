//! HashiCorp Vault: AppRole login, then a secret that holds the key, or the transit engine.

mod key_value;
mod login;
mod transit;

pub(super) use key_value::open_key_value;
pub(super) use transit::open_transit;
