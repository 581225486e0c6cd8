//! Certificates for a server and a client, and where librdkafka's suite looks for them.

use std::path::{Path, PathBuf};
use std::process::Command;

const PASSWORD: &str = "pencil";
/// What each variable of the suite's names: a file of [`Certificates::make`].
const VARIABLES: [(&str, &str); 7] = [
    ("SSL_pkcs", "client.p12"),
    ("SSL_pub_der", "client.der"),
    ("SSL_pub_pem", "client.pem"),
    ("SSL_priv_der", "client.key.der"),
    ("SSL_priv_pem", "client.key"),
    ("SSL_ca_der", "ca.der"),
    ("SSL_all_cas_pem", "ca.pem"),
];

pub(super) struct Certificates(PathBuf);

impl Certificates {
    /// Makes an authority and what it signs, in a folder of its own.
    pub(super) fn make(folder: &Path) -> Self {
        let made = Self(folder.join("certificates"));
        std::fs::create_dir(&made.0).unwrap();
        std::fs::write(made.0.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        std::fs::write(made.0.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
        made.run(
            "req -x509 -newkey rsa:2048 -noenc -keyout ca.key -out ca.pem -subj /CN=authority",
        );
        for name in ["server", "client"] {
            made.run(&format!(
                "req -newkey rsa:2048 -noenc -keyout {name}.plain -out {name}.csr -subj /CN={name}"
            ));
            made.run(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -extfile {name}.ext \
                 -out {name}.pem"
            ));
        }
        let password = format!("-passout pass:{PASSWORD}");
        made.run(&format!(
            "rsa -in client.plain -aes256 -out client.key {password}"
        ));
        made.run("pkey -in client.plain -outform DER -out client.key.der");
        made.run("x509 -in client.pem -outform DER -out client.der");
        made.run("x509 -in ca.pem -outform DER -out ca.der");
        made.run(&format!(
            "pkcs12 -export -inkey client.plain -in client.pem -certfile ca.pem \
             -out client.p12 {password}"
        ));
        made
    }

    fn run(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        let openssl = openssl
            .args(arguments.split_whitespace())
            .current_dir(&self.0);
        let output = openssl.output().expect("openssl is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// The server's configuration: clients are asked for a certificate, and may have none.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("KAFKA__TLS__CERT", self.path("server.pem")),
            ("KAFKA__TLS__KEY", self.path("server.plain")),
            ("KAFKA__TLS__CLIENT_CA", self.path("ca.pem")),
            ("KAFKA__TLS__CLIENT_CERT_OPTIONAL", "true".to_owned()),
        ]
    }

    /// Lines of the suite's configuration.
    pub(super) fn lines(&self) -> String {
        format!(
            "security.protocol=ssl\nssl.ca.location={}\nssl.certificate.location={}\n\
             ssl.key.location={}\nssl.key.password={PASSWORD}\n",
            self.path("ca.pem"),
            self.path("client.pem"),
            self.path("client.key"),
        )
    }

    /// The suite's environment.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<_> = VARIABLES
            .iter()
            .map(|(name, file)| (*name, self.path(file)))
            .collect();
        all.push(("SSL_password", PASSWORD.to_owned()));
        all.push(("SSL_client_auth", "requested".to_owned()));
        all
    }
}
