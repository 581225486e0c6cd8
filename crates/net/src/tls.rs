//! TLS 1.2 and 1.3 for listeners and for our own client: rustls with ring.
//!
//! Certificates are PEM files. They are loaded again on demand ([`Tls::reload`]) and when a look
//! at them on a timer shows that they changed; connections that are open keep what they shook
//! hands with. Files that do not fit together (a new certificate whose key is not there yet) are
//! refused, the old ones stay in use, and the next look tries again.

use std::io;
use std::sync::Arc;

use base::Tasks;
use bytes::Bytes;
use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tracing::{info, warn};

use self::files::{Files, read_pem};
use crate::config::TlsConfig;
use crate::drive::Drain;
use crate::error::Error;
use crate::head::TlsInfo;
use crate::linger::linger;
use crate::metrics::HeadMetrics;

mod files;
mod subject;
#[cfg(test)]
pub(crate) mod tests;

/// How much a connection may have encrypted that the peer does not take: two records. Less would
/// cost a system call for each record.
pub(crate) const UNSENT_MAX: usize = 32 << 10;

/// A listener's TLS; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: TlsConfig,
    alpn: Vec<Vec<u8>>,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    files: Files,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Loads the files of `config`; `alpn` are the application protocols offered, best first.
    ///
    /// # Errors
    /// When a file cannot be read, is no PEM, or certificate and key don't fit together.
    pub fn load(config: &TlsConfig, alpn: &[&[u8]]) -> Result<Self, Error> {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.to_vec()).collect();
        let files = Files::read(config)?;
        let server = server_config(config, &files, &alpn)?;
        let current = RwLock::new(Current { files, server });
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            alpn,
            current,
        })))
    }

    /// Loads the files again; whether they had changed. New connections use what is loaded.
    ///
    /// # Errors
    /// As [`Tls::load`]; the old certificates stay in use.
    pub fn reload(&self) -> Result<bool, Error> {
        let files = Files::read(&self.0.config)?;
        if files == self.0.current.read().files {
            return Ok(false);
        }
        let server = server_config(&self.0.config, &files, &self.0.alpn)?;
        *self.0.current.write() = Current { files, server };
        Ok(true)
    }

    /// Looks at the files on the configured timer until the drain.
    pub(crate) async fn watch(self, tasks: Tasks, mut drain: Drain, metrics: HeadMetrics) {
        if self.0.config.reload.0 == 0 {
            return;
        }
        loop {
            tokio::select! {
                biased;
                () = drain.requested() => return,
                () = sleep(self.0.config.reload.into()) => {}
            }
            let tls = self.clone();
            let looked = tasks
                .spawn_blocking("net.tls_read", move || tls.reload())
                .await;
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    metrics.tls_reload("ok");
                    info!(cert = %self.0.config.cert.display(), "certificates loaded again");
                }
                Ok(Err(error)) => {
                    metrics.tls_reload("failed");
                    warn!(%error, "certificates changed but cannot be used; keeping the old ones");
                }
                Err(_) => return,
            }
        }
    }

    /// Shakes hands as the server. A peer that is refused is told why: the socket is kept until the
    /// peer has read it, for whatever it sent meanwhile would make the system reset the connection.
    pub(crate) async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<(server::TlsStream<TcpStream>, TlsInfo)> {
        let config = Arc::clone(&self.0.current.read().server);
        let shaken = TlsAcceptor::from(config).accept(socket).into_fallible();
        let mut stream = match shaken.await {
            Ok(stream) => stream,
            Err((error, mut socket)) => {
                // Whoever has gone already needs no answer.
                let _ = socket.shutdown().await;
                linger(&mut socket).await;
                return Err(error);
            }
        };
        stream.get_mut().1.set_buffer_limit(Some(UNSENT_MAX));
        let connection = stream.get_ref().1;
        let subject = connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|cert| subject::of_certificate(cert));
        let info = TlsInfo {
            server_name: connection.server_name().map(str::to_owned),
            alpn: connection.alpn_protocol().map(Bytes::copy_from_slice),
            subject,
        };
        Ok((stream, info))
    }
}

fn server_config(
    config: &TlsConfig,
    files: &Files,
    alpn: &[Vec<u8>],
) -> Result<Arc<ServerConfig>, Error> {
    let chain = certificates(&config.cert, &files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| Error::TlsFile {
        path: config.key.clone(),
        problem: format!("no private key: {error}"),
    })?;
    let tls = |error: &dyn std::fmt::Display| Error::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?;
    let builder = match (&config.client_ca, &files.client_ca) {
        (Some(path), Some(pem)) => {
            let roots = Arc::new(roots(path, pem)?);
            let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            if config.client_cert_optional {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|error| tls(&error))?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|error| tls(&error))?;
    server.alpn_protocols = alpn.to_vec();
    Ok(Arc::new(server))
}

fn certificates(path: &std::path::Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let problem = |problem: String| Error::TlsFile {
        path: path.to_owned(),
        problem,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| problem(error.to_string()))?;
    if chain.is_empty() {
        Err(problem("holds no certificate".to_owned()))
    } else {
        Ok(chain)
    }
}

fn roots(path: &std::path::Path, pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| Error::TlsFile {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// The client's side of TLS; cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts the certificate authorities of the PEM file `ca` and nobody else; shows the chain
    /// and key of `identity` to servers that ask for a certificate.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn load(
        ca: &std::path::Path,
        identity: Option<(&std::path::Path, &std::path::Path)>,
    ) -> Result<Self, Error> {
        let tls = |error: rustls::Error| Error::Tls(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_root_certificates(roots(ca, &read_pem(ca)?)?);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(cert, &read_pem(cert)?)?;
                let key = PrivateKeyDer::from_pem_slice(&read_pem(key)?).map_err(|error| {
                    Error::TlsFile {
                        path: key.to_owned(),
                        problem: error.to_string(),
                    }
                })?;
                builder.with_client_auth_cert(chain, key).map_err(tls)?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with the server called `host`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, socket)
            .await
    }
}
