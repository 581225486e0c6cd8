//! Clients that mean no good under TLS.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::neighbour::{connect, fetch};
use super::*;

/// A certificate for this machine, its key, and who trusts it.
struct Certificate {
    folder: tempfile::TempDir,
    client: Arc<ClientConfig>,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from(made.cert.der().to_vec());
        roots.add(der).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let client = client
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        Self { folder, client }
    }

    fn server(&self) -> Server {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        server(&[("KAFKA__TLS__CERT", &cert), ("KAFKA__TLS__KEY", &key)])
    }

    fn connect(&self, server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        StreamOwned::new(client, connect(server))
    }
}

#[test]
fn readers_under_tls_that_do_not_read_hurt_nobody_else() {
    let certificate = Certificate::new();
    let server = certificate.server();
    server.create_topic("large", 1);
    let mut filling = certificate.connect(&server);
    memory::fill_by(&mut filling, "large", 60);
    let mut neighbour = Neighbour::over(certificate.connect(&server)).rested();
    let request = fetch("large", 0, 0).repeat(4);
    let attack = |_| {
        let mut stream = certificate.connect(&server);
        stream.write_all(&request).unwrap();
        stream
    };
    let streams: Vec<_> = (0..200).map(attack).collect();
    neighbour.is_well(&server, 60);
    drop(streams);
}

#[test]
fn handshakes_that_do_not_come_to_an_end_hurt_nobody_else() {
    raise_files();
    let certificate = Certificate::new();
    let server = certificate.server();
    let mut neighbour = Neighbour::over(certificate.connect(&server)).rested();
    // The first records of a ClientHello of 60 KiB (RFC 8446 4, 5.1), and most of another.
    let mut hello = vec![1, 0, 0xf0, 0, 3, 3];
    hello.resize(3 * (16 << 10), 7);
    let mut records = Vec::new();
    for part in hello.chunks(16 << 10) {
        records.extend_from_slice(&[22, 3, 1, 0x40, 0]);
        records.extend_from_slice(part);
    }
    records.truncate(records.len() - 100);
    let sockets = crowd(&server, 3000, &records);
    neighbour.is_well(&server, 60);
    // And bytes that are none of TLS.
    let nonsense = crowd(&server, 1000, &[0x80; 4000]);
    neighbour.is_well(&server, 30);
    drop((sockets, nonsense));
}
