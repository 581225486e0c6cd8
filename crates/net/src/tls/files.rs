//! The PEM files, read with a cap.

use std::io::Read;
use std::path::Path;

use crate::config::TlsConfig;
use crate::error::Error;

/// A certificate chain has some KiB, a bundle of all public authorities some 200.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What stood in the files when they were read last.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Files {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    pub(super) fn read(config: &TlsConfig) -> Result<Self, Error> {
        Ok(Self {
            cert: read_pem(&config.cert)?,
            key: read_pem(&config.key)?,
            client_ca: config.client_ca.as_deref().map(read_pem).transpose()?,
        })
    }
}

/// Reads a PEM file of at most 1 MiB.
#[expect(
    clippy::disallowed_methods,
    reason = "configuration, not data; and it is capped"
)]
pub(super) fn read_pem(path: &Path) -> Result<Vec<u8>, Error> {
    let problem = |problem: String| Error::TlsFile {
        path: path.to_owned(),
        problem,
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(problem(format!("is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
