//! A key kept as a secret of the key-value engine (version 2): fetched once, then signed with here.

use std::sync::Arc;

use serde::Deserialize;

use super::login::VaultServer;
use crate::remote::fault::Fault;
use crate::remote::patience::Patience;
use crate::remote::{HashicorpConfig, OpenError, RemoteOptions};
use crate::{LocalSigner, Secret, Signer};

/// Where the engine is mounted, unless the configuration says otherwise.
const MOUNT: &str = "secret";

#[derive(Deserialize)]
struct Read {
    data: Version,
}

#[derive(Deserialize)]
struct Version {
    /// `None` when the version was deleted.
    data: Option<Fields>,
}

#[derive(Deserialize)]
struct Fields {
    value: Option<Secret>,
}

/// Fetches the key. It stays in memory, as that of a key store does.
pub(in crate::remote) async fn open_key_value(
    config: &HashicorpConfig,
    options: &RemoteOptions,
) -> Result<Arc<dyn Signer>, OpenError> {
    let server = VaultServer::new(config, options)?;
    let mount = config.mount_point.as_deref().unwrap_or(MOUNT);
    let fetched = Patience::new(options.limits)
        .run(|| fetch(&server, mount, &config.key_name))
        .await;
    server.log_out().await;
    let key = fetched?;
    let signer = LocalSigner::from_hex(key.expose()).map_err(|error| OpenError::Refused {
        reason: format!("secret {mount}/{}: field value: {error}", config.key_name),
    })?;
    Ok(Arc::new(signer))
}

async fn fetch(server: &VaultServer, mount: &str, name: &str) -> Result<Secret, Fault> {
    let what = format!("secret {mount}/{name}");
    let answer = server.read(&[mount, "data", name]).await;
    let answer = answer.map_err(|fault| {
        fault.during(&what).advise(
            "the secret must exist in a key-value engine of version 2, and the role's policy must \
             allow to read it",
        )
    })?;
    let read: Read = answer.json().map_err(|fault| fault.during(&what))?;
    let fields = read
        .data
        .data
        .ok_or_else(|| Fault::lasting(format!("{what} was deleted")))?;
    fields.value.ok_or_else(|| {
        Fault::lasting(format!(
            "{what} has no field value: the key must be there, as 64 hexadecimal digits"
        ))
    })
}
