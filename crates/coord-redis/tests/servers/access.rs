//! Encrypted connections, certificates, users and passwords.

use baton_coord::Table;
use baton_coord_redis::{Credentials, OpenError, Options, RedisStore, Servers, Tls};
use baton_testkit::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::{at, hasty, standalone};
use crate::{lane, mark, marked, open};

/// An authority, and a certificate of it for 127.0.0.1, as PEM.
struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

impl Certificates {
    fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // One that is named like the certificates that it signs would be taken for one of them.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        Self {
            authority: issuer.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn files(&self) -> TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let files = [
            ("ca.pem", &self.authority),
            ("cert.pem", &self.certificate),
            ("key.pem", &self.key),
        ];
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a file");
        }
        directory
    }

    fn tls(&self, with_identity: bool) -> Tls {
        let identity = (
            self.certificate.clone().into_bytes(),
            self.key.clone().into_bytes(),
        );
        Tls {
            authorities: Some(self.authority.clone().into_bytes()),
            identity: with_identity.then_some(identity),
        }
    }
}

/// A server with TLS on a second port, which asks for certificates of the same authority.
async fn encrypted(certificates: &Certificates, lines: &[&str]) -> (RedisServer, u16, TempDir) {
    let files = certificates.files();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0));
    let port = port
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let path = files.path().display();
    let own = [
        format!("tls-port {port}"),
        format!("tls-ca-cert-file {path}/ca.pem"),
        format!("tls-cert-file {path}/cert.pem"),
        format!("tls-key-file {path}/key.pem"),
    ];
    let lines: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(lines.iter().copied())
        .collect();
    (
        RedisServer::start(&lines).await.expect("a server"),
        port,
        files,
    )
}

/// The whole contract over TLS, with a client's certificate, a user of few rights, a password and a database.
#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept_over_tls_as_a_user_of_few_rights() {
    let certificates = Certificates::make();
    let rights = "user baton on >s3cret~&* ~store-* &store-* -@all +@connection +info +evalsha +script|load \
                  +hget +hset +hdel +hmget +zadd +zrem +zrangebylex +zrevrangebylex +xadd +xtrim +xrange \
                  +time +publish +subscribe +unsubscribe +select";
    let (_server, port, _files) = encrypted(&certificates, &[rights]).await;
    let mut options = standalone(port);
    options.tls = Some(certificates.tls(true));
    options.database = 3;
    options.credentials = Credentials {
        user: Some("baton".to_owned()),
        password: Some("s3cret~&*".to_owned()),
    };
    baton_coord::conformance::run(&crate::conformance::Redis::on(options)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_so_without_the_password() {
    let certificates = Certificates::make();
    let (server, port, _files) = encrypted(&certificates, &["requirepass hunter2"]).await;
    let with = |port: u16, tls: Option<Tls>, password: &str| {
        let mut options = standalone(port);
        options.tls = tls;
        options.credentials.password = Some(password.to_owned());
        options
    };
    let good = with(port, Some(certificates.tls(true)), "hunter2");
    let store = open(good).await;
    store
        .commit(mark(&lane("tx/tls"), 1))
        .await
        .expect("applied");
    assert_eq!(
        marked(
            &open(with(server.port(), None, "hunter2")).await,
            &lane("tx/tls")
        )
        .await,
        1
    );

    let stranger = Certificates::make();
    let bad = [
        with(port, Some(certificates.tls(false)), "hunter2"),
        with(port, Some(stranger.tls(true)), "hunter2"),
        with(port, None, "hunter2"),
        with(port, Some(certificates.tls(true)), "hunter3"),
        with(server.port(), None, "hunter3"),
    ];
    for options in bad {
        let options = hasty(options);
        let error = RedisStore::open(options)
            .await
            .err()
            .expect("refused")
            .to_string();
        assert!(!error.contains("hunter"), "{error}");
    }
    let mut options = with(port, None, "hunter2");
    options.tls = Some(Tls {
        authorities: Some(b"-----BEGIN CERTIFICATE-----\nnonsense".to_vec()),
        identity: None,
    });
    let error = RedisStore::open(options).await.err().expect("refused");
    assert!(
        matches!(error, OpenError::Option { option: "tls", .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_break_rules_are_named() {
    let cluster = || Options::new(Servers::Cluster(vec![at(1)]));
    let prefix = |prefix: &str| Options {
        prefix: prefix.to_owned(),
        ..cluster()
    };
    let cases = [
        ("prefix", prefix("")),
        ("prefix", prefix("a{b}")),
        ("prefix", prefix(&"p".repeat(65))),
        (
            "database",
            Options {
                database: 1,
                ..cluster()
            },
        ),
        ("servers", Options::new(Servers::Cluster(Vec::new()))),
    ];
    for (named, options) in cases {
        let error = RedisStore::open(options).await.err().expect("refused");
        let is_named = matches!(error, OpenError::Option { option, .. } if option == named);
        assert!(is_named, "{error}");
    }
}
