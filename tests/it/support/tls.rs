//! A throw-away cluster that speaks TLS: an authority made for the test, and certificates that it issues.

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::postgres::Cluster;

/// An authority, with its certificate in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("authority.pem"), pem("CERTIFICATE", certificate.der())).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// Where its certificate is.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The certificate and the key of a server with this name, as PEM.
    pub fn issue(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// What a server's certificate says of a host.
pub fn named(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

/// Switches TLS on in a cluster, with this certificate and its key, and lets in only who comes with it, or without.
pub fn speak_tls(cluster: &Cluster, (certificate, key): &(String, String), entry: &str) {
    cluster.put("server.crt", certificate);
    cluster.put("server.key", key);
    cluster.put("postgresql.auto.conf", "ssl = on\n");
    cluster.put("pg_hba.conf", &format!("local all all trust\n{entry} all all 127.0.0.1/32 scram-sha-256\n"));
    cluster.restart();
}
