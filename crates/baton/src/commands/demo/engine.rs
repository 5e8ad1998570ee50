//! What the engine is given: a configuration, a key store and a directory.

use std::fs;

use anyhow::{Context, Result};
use baton_model::Address;
use baton_vault::Secret;
use baton_vault::keys::{NewKeystore, create_keystore, encryption_key, uuid_v4};
use serde_json::json;
use tempfile::TempDir;

use crate::app::now;
use crate::commands::child::{Launch, free_port};

/// What the engine is given: everything is made for this run and removed after it.
pub(super) struct Workspace {
    directory: TempDir,
    account: Address,
    api_key: String,
    passphrase: Secret,
    encryption_key: Secret,
    port: u16,
}

impl Workspace {
    pub(super) fn create(node: &str) -> Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let passphrase = Secret::new(format!("Demo-{}", uuid_v4()?));
        let new = NewKeystore {
            directory: directory.path().join("keys"),
            file_name: Some("demo.json".to_owned()),
            password: passphrase.clone(),
            force: false,
            skip_password_check: false,
        };
        let key = create_keystore(&new, now())?;
        let config = json!({
            "relayers": [{
                "id": "demo", "name": "Demo", "network": "localhost-anvil", "network_type": "evm",
                "paused": false, "signer_id": "demo", "custom_rpc_urls": [node],
            }],
            "signers": [{ "id": "demo", "type": "local", "config": {
                "path": key.path, "passphrase": { "type": "env", "value": "KEYSTORE_PASSPHRASE" },
            }}],
            "notifications": [],
        });
        let file = directory.path().join("config.json");
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        Ok(Self {
            account: key.address,
            api_key: uuid_v4()?.to_string(),
            passphrase,
            encryption_key: encryption_key()?,
            port: free_port()?,
            directory,
        })
    }

    pub(super) fn account(&self) -> Address {
        self.account
    }

    pub(super) fn api_key(&self) -> &str {
        &self.api_key
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How the engine is started here.
    pub(super) fn launch(&self) -> Launch {
        let path = self.directory.path();
        let variables = [
            ("API_KEY", self.api_key.as_str()),
            ("KEYSTORE_PASSPHRASE", self.passphrase.expose()),
            ("STORAGE_ENCRYPTION_KEY", self.encryption_key.expose()),
        ];
        Launch::new(path, &path.join("data"), self.port).variables(&variables)
    }
}
