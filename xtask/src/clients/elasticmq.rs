//! ElasticMQ as a peer.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Its version.
pub(crate) const VERSION: &str = "1.7.1";

/// Where its jars are; installed when they are wanted.
///
/// # Errors
/// A missing tool, or jars that cannot be had.
pub(crate) fn install(into: &Path) -> Result<PathBuf> {
    let folder = into.join("elasticmq");
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>stentor</groupId><artifactId>elasticmq</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies><dependency><groupId>org.elasticmq</groupId>\
         <artifactId>elasticmq-server_2.13</artifactId><version>{VERSION}</version></dependency>\
         </dependencies></project>"
    );
    super::jars(&folder, &into.join("elasticmq-new"), &pom)?;
    Ok(folder.join("lib"))
}
