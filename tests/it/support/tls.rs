//! A temporary cluster with TLS: a certificate authority made for the test, and certificates issued by it.

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::postgres::Cluster;

/// A certificate authority, with its certificate in a file.
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

    /// The path of its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Issues a certificate for a server with these parameters; returns the certificate and its key as PEM.
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

/// The parameters of a certificate for this host.
pub fn named(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

/// Turns TLS on in a cluster, with this certificate and key. `entry`, of `pg_hba.conf`, accepts connections only with
/// TLS or only without.
pub fn speak_tls(cluster: &Cluster, (certificate, key): &(String, String), entry: &str) {
    cluster.put("server.crt", certificate);
    cluster.put("server.key", key);
    cluster.put("postgresql.auto.conf", "ssl = on\n");
    cluster.put("pg_hba.conf", &format!("local all all trust\n{entry} all all 127.0.0.1/32 scram-sha-256\n"));
    cluster.restart();
}
