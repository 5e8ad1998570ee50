//! Signers whose keys are kept elsewhere, field by field as OpenZeppelin Relayer names them.

use baton_vault::Secret;
use baton_vault::remote::{
    AwsKmsConfig, AzureConfig, AzureIdentity, CdpConfig, GoogleKmsConfig, GoogleServiceAccount,
    HashicorpConfig, RemoteConfig, TransitConfig, TurnkeyConfig,
};
use serde_json::{Map, Value};
use url::{Host, Url};

use super::fields::{Fields, Mismatch, text, whole};
use super::json::Node;
use super::report::{Problem, Report};
use super::secrets::secret;
use super::settings::SignerSource;
use super::variables::Variables;

/// Their types.
pub(crate) const KINDS: &[&str] = &[
    "aws_kms",
    "azure_key_vault",
    "cdp",
    "google_cloud_kms",
    "turnkey",
    "vault",
    "vault_transit",
];

const AUTH_TYPES: &[&str] = &["client_secret", "managed_identity", "workload_identity"];
const GOOGLE_DEFAULTS: [(&str, &str); 5] = [
    ("auth_uri", "https://accounts.google.com/o/oauth2/auth"),
    ("token_uri", "https://oauth2.googleapis.com/token"),
    (
        "auth_provider_x509_cert_url",
        "https://www.googleapis.com/oauth2/v1/certs",
    ),
    ("client_x509_cert_url", ""),
    ("universe_domain", "googleapis.com"),
];

/// Reads the `config` of a signer of one of [`KINDS`].
pub(crate) fn remote(
    kind: &str,
    place: &str,
    node: &Node,
    variables: &dyn Variables,
    report: &mut Report,
) -> Option<SignerSource> {
    let read = match kind {
        "aws_kms" => aws,
        "azure_key_vault" => azure,
        "cdp" => cdp,
        "google_cloud_kms" => google,
        "turnkey" => turnkey,
        "vault" => vault,
        "vault_transit" => transit,
        _ => return None,
    };
    let source = Source {
        place,
        node,
        variables,
    };
    let (config, shown) = read(&source, report)?;
    Some(SignerSource::Remote {
        config: Box::new(config),
        shown: Value::Object(shown),
    })
}

/// An object that is to be read.
struct Source<'a> {
    place: &'a str,
    node: &'a Node,
    variables: &'a dyn Variables,
}

/// An object that is being read, and what of it is no secret.
struct Reader<'a> {
    fields: Fields<'a>,
    variables: &'a dyn Variables,
    shown: Map<String, Value>,
}

type Read = Option<(RemoteConfig, Map<String, Value>)>;

fn aws(source: &Source<'_>, report: &mut Report) -> Read {
    let mut reader = source.open(&["region", "key_id"], report)?;
    let region = reader.text("region", report);
    let key_id = reader.text("key_id", report);
    let config = AwsKmsConfig {
        region: region?,
        key_id: key_id?,
    };
    Some((RemoteConfig::AwsKms(config), reader.shown))
}

fn azure(source: &Source<'_>, report: &mut Report) -> Read {
    let known = [
        "auth_type",
        "tenant_id",
        "client_id",
        "client_secret",
        "federated_token_file",
        "vault_url",
        "key_name",
        "key_version",
    ];
    let mut reader = source.open(&known, report)?;
    let identity = azure_identity(&mut reader, report);
    let vault_url = reader.url("vault_url", report);
    let key_name = reader.text("key_name", report);
    let config = AzureConfig {
        key_version: reader.optional("key_version", report),
        identity: identity?,
        vault_url: vault_url?,
        key_name: key_name?,
    };
    Some((RemoteConfig::Azure(config), reader.shown))
}

fn azure_identity(reader: &mut Reader<'_>, report: &mut Report) -> Option<AzureIdentity> {
    let kind = reader.optional("auth_type", report);
    let kind = kind.as_deref().unwrap_or("client_secret");
    if !AUTH_TYPES.contains(&kind) {
        let place = reader.fields.place("auth_type");
        let rule = "must be `client_secret`, `managed_identity` or `workload_identity`";
        let problem = Problem::new(place, rule).found(format!("{kind:?}"));
        report.add(problem.meant(kind, AUTH_TYPES.iter().copied()));
        return None;
    }
    if kind == "client_secret" {
        let tenant_id = reader.identity("tenant_id", report);
        let client_id = reader.identity("client_id", report);
        let client_secret = reader.secret("client_secret", report);
        return Some(AzureIdentity::ClientSecret {
            tenant_id: tenant_id?,
            client_id: client_id?,
            client_secret: client_secret?,
        });
    }
    let client_id = reader.optional_identity("client_id", report);
    if kind == "managed_identity" {
        return Some(AzureIdentity::ManagedIdentity { client_id });
    }
    Some(AzureIdentity::WorkloadIdentity {
        tenant_id: reader.optional_identity("tenant_id", report),
        client_id,
        federated_token_file: reader.optional_identity("federated_token_file", report),
    })
}

fn cdp(source: &Source<'_>, report: &mut Report) -> Read {
    let known = [
        "api_key_id",
        "api_key_secret",
        "wallet_secret",
        "account_address",
    ];
    let mut reader = source.open(&known, report)?;
    let api_key_id = reader.text("api_key_id", report);
    let api_key_secret = reader.secret("api_key_secret", report);
    let wallet_secret = reader.secret("wallet_secret", report);
    let account_address = reader.text("account_address", report);
    let account_address = account_address.and_then(|address| {
        address
            .parse()
            .map_err(|_| {
                let place = reader.fields.place("account_address");
                let problem = Problem::new(place, "must be the address of an EVM account");
                report.add(problem.found(format!("{address:?}")));
            })
            .ok()
    });
    let config = CdpConfig {
        api_key_id: api_key_id?,
        api_key_secret: api_key_secret?,
        wallet_secret: wallet_secret?,
        account_address: account_address?,
    };
    Some((RemoteConfig::Cdp(config), reader.shown))
}

fn google(source: &Source<'_>, report: &mut Report) -> Read {
    let mut reader = source.open(&["service_account", "key"], report)?;
    let account = google_account(&mut reader, report);
    let key = reader.inner(
        "key",
        &["location", "key_ring_id", "key_id", "key_version"],
        report,
    );
    let mut key = key?;
    let key_ring_id = key.text("key_ring_id", report);
    let key_id = key.text("key_id", report);
    let range = whole(1, u64::from(u32::MAX));
    let version = key.fields.optional("key_version", report, range);
    let key_version = u32::try_from(version.unwrap_or(1)).ok()?;
    key.show("key_version", Value::from(key_version));
    let location = key.optional("location", report);
    let location = location.unwrap_or_else(|| "global".to_owned());
    key.show("location", Value::from(location.clone()));
    reader.show("key", Value::Object(key.shown));
    let config = GoogleKmsConfig {
        service_account: account?,
        location,
        key_ring_id: key_ring_id?,
        key_id: key_id?,
        key_version,
    };
    Some((RemoteConfig::GoogleKms(config), reader.shown))
}

fn google_account(outer: &mut Reader<'_>, report: &mut Report) -> Option<GoogleServiceAccount> {
    let known = [
        "type",
        "project_id",
        "private_key_id",
        "private_key",
        "client_email",
        "client_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_x509_cert_url",
        "universe_domain",
    ];
    let mut reader = outer.inner("service_account", &known, report)?;
    let project_id = reader.text("project_id", report);
    let private_key_id = reader.identity("private_key_id", report);
    let private_key = reader.secret("private_key", report);
    let client_email = reader.identity("client_email", report);
    reader.optional("client_id", report);
    for (name, default) in GOOGLE_DEFAULTS {
        if reader.fields.node(name).is_none() {
            reader.show(name, Value::from(default));
        } else {
            reader.optional(name, report);
        }
    }
    let given = |name: &str| reader.shown.get(name)?.as_str().map(str::to_owned);
    let (token_uri, universe_domain) = (given("token_uri"), given("universe_domain"));
    outer.show("service_account", Value::Object(reader.shown));
    Some(GoogleServiceAccount {
        project_id: project_id?,
        private_key_id: private_key_id?,
        private_key: private_key?,
        client_email: client_email?,
        token_uri: token_uri?,
        universe_domain: universe_domain?,
    })
}

fn turnkey(source: &Source<'_>, report: &mut Report) -> Read {
    let known = [
        "api_public_key",
        "api_private_key",
        "organization_id",
        "private_key_id",
        "public_key",
    ];
    let mut reader = source.open(&known, report)?;
    let api_public_key = reader.text("api_public_key", report);
    let api_private_key = reader.secret("api_private_key", report);
    let organization_id = reader.text("organization_id", report);
    let private_key_id = reader.text("private_key_id", report);
    let public_key = reader.text("public_key", report);
    let config = TurnkeyConfig {
        api_public_key: api_public_key?,
        api_private_key: api_private_key?,
        organization_id: organization_id?,
        private_key_id: private_key_id?,
        public_key: public_key?,
    };
    Some((RemoteConfig::Turnkey(config), reader.shown))
}

const VAULT_FIELDS: [&str; 7] = [
    "address",
    "namespace",
    "role_id",
    "secret_id",
    "key_name",
    "mount_point",
    "pubkey",
];

fn vault(source: &Source<'_>, report: &mut Report) -> Read {
    let mut reader = source.open(&VAULT_FIELDS[..6], report)?;
    let config = hashicorp(&mut reader, report)?;
    Some((RemoteConfig::Vault(config), reader.shown))
}

fn transit(source: &Source<'_>, report: &mut Report) -> Read {
    let mut reader = source.open(&VAULT_FIELDS, report)?;
    let pubkey = reader.text("pubkey", report);
    let config = TransitConfig {
        vault: hashicorp(&mut reader, report)?,
        pubkey: pubkey?,
    };
    Some((RemoteConfig::VaultTransit(config), reader.shown))
}

fn hashicorp(reader: &mut Reader<'_>, report: &mut Report) -> Option<HashicorpConfig> {
    let address = reader.url("address", report);
    let role_id = reader.identity("role_id", report);
    let secret_id = reader.secret("secret_id", report);
    let key_name = reader.text("key_name", report);
    let namespace = reader.optional("namespace", report);
    let mount_point = reader.optional("mount_point", report);
    // With the secret id it logs in, so it is not shown even if it is written plainly.
    reader.shown.remove("role_id");
    Some(HashicorpConfig {
        address: address?,
        namespace,
        role_id: Secret::new(role_id?),
        secret_id: secret_id?,
        key_name: key_name?,
        mount_point,
    })
}

impl<'a> Source<'a> {
    fn open(&self, known: &[&str], report: &mut Report) -> Option<Reader<'a>> {
        Some(Reader {
            fields: Fields::open(self.place, self.node, known, report)?,
            variables: self.variables,
            shown: Map::new(),
        })
    }
}

impl<'a> Reader<'a> {
    /// An object within this one, which must be given.
    fn inner(&self, name: &str, known: &[&str], report: &mut Report) -> Option<Self> {
        let place = self.fields.place(name);
        let Some(node) = self.fields.node(name) else {
            report.problem(place, "must be given");
            return None;
        };
        Some(Reader {
            fields: Fields::open(&place, node, known, report)?,
            variables: self.variables,
            shown: Map::new(),
        })
    }

    /// A text that must be given.
    fn text(&mut self, name: &str, report: &mut Report) -> Option<String> {
        let value = self.fields.required(name, report, text)?;
        self.show(name, Value::from(value.clone()));
        Some(value)
    }

    /// A text that may be absent.
    fn optional(&mut self, name: &str, report: &mut Report) -> Option<String> {
        let value = self.fields.optional(name, report, text)?;
        self.show(name, Value::from(value.clone()));
        Some(value)
    }

    /// The address of a service.
    fn url(&mut self, name: &str, report: &mut Report) -> Option<String> {
        let url = self.fields.required(name, report, service_url)?;
        if url.scheme() == "http" && !is_loopback(&url) {
            report.warn(
                self.fields.place(name),
                "is not https: credentials cross the network in plain text",
            );
        }
        self.optional(name, report)
    }

    /// A secret that must be given.
    fn secret(&mut self, name: &str, report: &mut Report) -> Option<Secret> {
        let place = self.fields.place(name);
        let Some(node) = self.fields.node(name) else {
            report.problem(place, "must be given");
            return None;
        };
        secret(&place, node, self.variables, report)
    }

    /// A name that some write like a secret and some as it is.
    fn identity(&mut self, name: &str, report: &mut Report) -> Option<String> {
        if self.fields.node(name).is_none() {
            report.problem(self.fields.place(name), "must be given");
        }
        self.optional_identity(name, report)
    }

    fn optional_identity(&mut self, name: &str, report: &mut Report) -> Option<String> {
        let Node::Object(_) = self.fields.node(name)? else {
            return self.optional(name, report);
        };
        Some(self.secret(name, report)?.expose().to_owned())
    }

    fn show(&mut self, name: &str, value: Value) {
        self.shown.insert(name.to_owned(), value);
    }
}

fn service_url(node: &Node) -> Result<Url, Mismatch> {
    // It may hold a password where none belongs, so it is not shown.
    let refused = || Mismatch::bare("must be an http or https URL, without a user or a password");
    let url = Url::parse(&text(node)?).map_err(|_| refused())?;
    let plain = url.username().is_empty() && url.password().is_none();
    let fits = matches!(url.scheme(), "http" | "https") && plain && url.has_host();
    fits.then_some(url).ok_or_else(refused)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
