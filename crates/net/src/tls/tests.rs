//! TLS with certificates made on the spot: trust, client certificates, reload.

use std::path::{Path, PathBuf};

use base::Millis;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, KeyPair, string,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::Config;
use crate::drive::tests::toy::{Toy, frame};
use crate::listen::{Listener, Net};

/// A directory with an authority and what it signed.
pub(crate) struct Pki {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let ca = CertifiedIssuer::self_signed(params, key).unwrap();
        let pki = Self {
            dir: tempfile::tempdir().unwrap(),
            ca,
        };
        pki.write("ca.pem", &pki.ca.pem());
        pki
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).unwrap();
    }

    /// Signs a certificate for localhost and writes `{name}.pem` and `{name}.key`.
    pub(crate) fn issue(&self, name: &str, subject: &[(DnType, DnValue)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.ca).unwrap();
        self.write(&format!("{name}.pem"), &cert.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
        cert.der().to_vec()
    }

    pub(crate) fn server(&self) -> TlsConfig {
        self.issue("server", &[(DnType::CommonName, "localhost".into())]);
        TlsConfig {
            cert: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: None,
            client_cert_optional: false,
            reload: Millis(0),
        }
    }

    pub(crate) fn client(&self, identity: Option<&str>) -> ClientTls {
        let files = identity.map(|name| {
            (
                self.path(&format!("{name}.pem")),
                self.path(&format!("{name}.key")),
            )
        });
        let files = files
            .as_ref()
            .map(|(cert, key)| (cert.as_path(), key.as_path()));
        ClientTls::load(&self.path("ca.pem"), files).unwrap()
    }
}

async fn listen(tls: TlsConfig) -> Listener {
    let config = Config {
        tls: Some(tls),
        ..Config::at("127.0.0.1:0")
    };
    let net = Net::new(crate::listen::tests::parts());
    net.listen(Toy::default(), &config).await.unwrap().unwrap()
}

/// Shakes hands, has `body` echoed, and returns the server's certificate.
async fn echo(listener: &Listener, tls: &ClientTls, body: &[u8]) -> io::Result<Vec<u8>> {
    let socket = TcpStream::connect(listener.addr()).await?;
    let mut peer = tls.connect("localhost", socket).await?;
    peer.write_all(&frame(0, b'e', body)).await?;
    peer.flush().await?;
    let mut reply = vec![0; peer.read_u32().await? as usize];
    peer.read_exact(&mut reply).await?;
    assert!(reply == body);
    Ok(peer.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

#[tokio::test]
async fn serves_under_tls_also_large_bodies_and_file_ranges() {
    let pki = Pki::new();
    let listener = listen(pki.server()).await;
    let client = pki.client(None);
    echo(&listener, &client, b"small").await.unwrap();
    echo(&listener, &client, &vec![7; 3 << 20]).await.unwrap();

    let socket = TcpStream::connect(listener.addr()).await.unwrap();
    let mut peer = client.connect("localhost", socket).await.unwrap();
    peer.write_all(&frame(0, b'f', b"")).await.unwrap();
    let mut reply = [0; 9];
    peer.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply[4..], b"23456");
}

#[tokio::test]
async fn does_not_talk_to_a_client_that_trusts_somebody_else_or_speaks_plain() {
    let pki = Pki::new();
    let listener = listen(pki.server()).await;
    assert!(
        echo(&listener, &Pki::new().client(None), b"x")
            .await
            .is_err()
    );
    let mut plain = TcpStream::connect(listener.addr()).await.unwrap();
    plain.write_all(&frame(0, b'e', b"plain")).await.unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"plain"));
}

#[tokio::test]
async fn asks_clients_for_a_certificate_and_tells_its_subject() {
    let pki = Pki::new();
    pki.issue(
        "anna",
        &[
            (DnType::OrganizationName, "Acme, Inc".into()),
            (DnType::CommonName, "anna".into()),
        ],
    );
    let config = TlsConfig {
        client_ca: Some(pki.path("ca.pem")),
        ..pki.server()
    };
    let listener = listen(config.clone()).await;
    echo(&listener, &pki.client(Some("anna")), b"x")
        .await
        .unwrap();
    assert!(echo(&listener, &pki.client(None), b"x").await.is_err());

    let listener = listen(TlsConfig {
        client_cert_optional: true,
        ..config.clone()
    })
    .await;
    echo(&listener, &pki.client(None), b"x").await.unwrap();

    let tls = Tls::load(&config, &[b"toy/1"]).unwrap();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let client = pki.client(Some("anna"));
    let connect = async {
        client
            .connect("localhost", TcpStream::connect(addr).await.unwrap())
            .await
            .unwrap()
    };
    let accept = async { tls.accept(socket.accept().await.unwrap().0).await.unwrap() };
    let (_, (_, info)) = tokio::join!(connect, accept);
    assert_eq!(info.subject.as_deref(), Some("CN=anna,O=Acme\\, Inc"));
    assert_eq!(info.server_name.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn keeps_no_more_for_a_peer_that_does_not_read_than_is_charged_for() {
    use std::io::Write;

    let pki = Pki::new();
    let tls = Tls::load(&pki.server(), &[]).unwrap();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let client = pki.client(None);
    let connect = async {
        let socket = TcpStream::connect(addr).await.unwrap();
        client.connect("localhost", socket).await.unwrap()
    };
    let accept = async { tls.accept(socket.accept().await.unwrap().0).await.unwrap() };
    let (_peer, (mut stream, _)) = tokio::join!(connect, accept);
    let taken = stream.get_mut().1.writer().write(&[7; 200 << 10]).unwrap();
    assert!(taken > 0 && taken <= UNSENT_MAX, "{taken} bytes");
}

#[tokio::test]
async fn tells_a_client_that_is_refused_why_whatever_it_has_sent_by_then() {
    let (pki, strangers) = (Pki::new(), Pki::new());
    strangers.issue("mallory", &[]);
    let listener = listen(TlsConfig {
        client_ca: Some(pki.path("ca.pem")),
        ..pki.server()
    })
    .await;
    let files = [strangers.path("mallory.pem"), strangers.path("mallory.key")];
    let mallory = ClientTls::load(&pki.path("ca.pem"), Some((&files[0], &files[1]))).unwrap();
    for _ in 0..20 {
        let socket = TcpStream::connect(listener.addr()).await.unwrap();
        // With TLS 1.3 the client is done before the server has seen its certificate.
        let mut peer = mallory.connect("localhost", socket).await.unwrap();
        for _ in 0..2 {
            peer.write_all(&vec![7; 64 << 10]).await.unwrap();
            peer.flush().await.unwrap();
            // The refusal is there; a client that goes on sending must still be able to read it.
            peer.get_ref().0.readable().await.unwrap();
        }
        let told = peer.read_u8().await.unwrap_err().to_string();
        assert!(told.contains("fatal alert"), "{told}");
    }
}

#[tokio::test]
async fn uses_new_files_after_a_reload_and_keeps_the_old_when_they_are_bad() {
    let pki = Pki::new();
    let listener = listen(pki.server()).await;
    let (tls, client) = (listener.tls().unwrap(), pki.client(None));
    let old = echo(&listener, &client, b"x").await.unwrap();
    assert!(!tls.reload().unwrap(), "nothing has changed");

    let new = pki.issue("server", &[]);
    assert_ne!(new, old);
    assert!(tls.reload().unwrap());
    assert_eq!(echo(&listener, &client, b"x").await.unwrap(), new);

    pki.issue("other", &[]);
    let other_key = std::fs::read_to_string(pki.path("other.key")).unwrap();
    pki.write("server.key", &other_key);
    assert!(
        matches!(tls.reload(), Err(Error::Tls(_))),
        "certificate and key must fit"
    );
    pki.write("server.pem", "no certificate");
    assert!(matches!(tls.reload(), Err(Error::TlsFile { .. })));
    assert_eq!(echo(&listener, &client, b"x").await.unwrap(), new);
}

#[tokio::test]
async fn looks_at_the_files_on_its_timer() {
    let pki = Pki::new();
    let listener = listen(TlsConfig {
        reload: Millis(1),
        ..pki.server()
    })
    .await;
    let client = pki.client(None);
    let new = pki.issue("server", &[]);
    // However long the look takes: each turn here is a handshake.
    while echo(&listener, &client, b"x").await.unwrap() != new {}
}

#[test]
fn refuses_files_that_are_missing_or_too_long() {
    let pki = Pki::new();
    let config = pki.server();
    let missing = TlsConfig {
        key: Path::new("/does/not/exist").to_owned(),
        ..config.clone()
    };
    assert!(matches!(
        Tls::load(&missing, &[]),
        Err(Error::TlsFile { .. })
    ));
    pki.write("server.pem", &"x".repeat((1 << 20) + 1));
    let error = Tls::load(&config, &[]).unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn reads_subjects_of_all_string_kinds_and_survives_any_bytes() {
    let pki = Pki::new();
    let der = pki.issue(
        "odd",
        &[
            (
                DnType::CountryName,
                DnValue::PrintableString("DE".try_into().unwrap()),
            ),
            (
                DnType::OrganizationalUnitName,
                DnValue::BmpString(string::BmpString::try_from("Ünit").unwrap()),
            ),
            (DnType::CustomDnType(vec![2, 5, 4, 5]), "42".into()),
            (DnType::CommonName, " #x+y ".into()),
        ],
    );
    let subject = subject::of_certificate(&der).unwrap();
    assert_eq!(subject, "CN=\\ #x\\+y\\ ,2.5.4.5=42,OU=Ünit,C=DE");
    for end in 0..der.len() {
        let _ = subject::of_certificate(&der[..end]);
        let mut flipped = der.clone();
        flipped[end] ^= 0xFF;
        let _ = subject::of_certificate(&flipped);
    }
}
