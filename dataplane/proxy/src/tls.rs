//! TLS towards clients: certificates of a snapshot turned into settings of rustls, chosen by server name.

use pinfold_wire::{Certificate, Problem, Tls};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::sync::Arc;

/// What is wrong: with a certificate, or with the listener as a whole.
pub struct Fault {
    certificate: Option<String>,
    what: String,
}

impl Fault {
    fn of(certificate: &Certificate, what: String) -> Self {
        Self { certificate: Some(certificate.name.clone()), what }
    }

    fn of_listener(what: impl ToString) -> Self {
        Self { certificate: None, what: what.to_string() }
    }

    /// The problem, found with the listener of that name.
    pub fn at(self, listener: &str) -> Problem {
        let place = self
            .certificate
            .map_or_else(|| format!("listeners.{listener}.tls"), |certificate| format!("certificates.{certificate}"));
        Problem { place, what: self.what, errno: None }
    }
}

/// Settings that were made before, so that what did not change keeps its tickets: a client can resume.
#[derive(Default)]
pub struct Cache {
    made: Vec<Made>,
}

struct Made {
    certificates: Vec<Certificate>,
    settings: Arc<ServerConfig>,
    used: bool,
}

impl Cache {
    /// The settings of a listener.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn settings(&mut self, tls: &Tls, certificates: &[Certificate]) -> Result<Arc<ServerConfig>, Fault> {
        let named = tls.certificates.iter().map(|name| {
            let found = certificates.iter().find(|certificate| certificate.name == *name);
            found.cloned().ok_or_else(|| Fault::of_listener(format!("there is no certificate \"{name}\"")))
        });
        let wanted: Vec<Certificate> = named.collect::<Result<_, _>>()?;
        if let Some(made) = self.made.iter_mut().find(|made| made.certificates == wanted) {
            made.used = true;
            return Ok(Arc::clone(&made.settings));
        }
        let settings = Arc::new(make(&wanted)?);
        self.made.push(Made { certificates: wanted, settings: Arc::clone(&settings), used: true });
        Ok(settings)
    }

    /// Drop what was not asked for since this was last called.
    pub fn forget_unused(&mut self) {
        self.made.retain(|made| made.used);
        self.made.iter_mut().for_each(|made| made.used = false);
    }
}

fn make(certificates: &[Certificate]) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut settings = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Fault::of_listener)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Chooser::of(certificates)?));
    settings.ticketer = aws_lc_rs::Ticketer::new().map_err(Fault::of_listener)?;
    settings.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    Ok(settings)
}

/// Chooses a certificate: the exact server name, then a wildcard, then the first.
#[derive(Debug)]
struct Chooser {
    first: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Chooser {
    fn of(certificates: &[Certificate]) -> Result<Self, Fault> {
        let mut first = None;
        let mut by_name = HashMap::new();
        for certificate in certificates {
            let key = Arc::new(certified(certificate)?);
            first.get_or_insert_with(|| Arc::clone(&key));
            for name in &certificate.server_names {
                by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(&key));
            }
        }
        Ok(Self { first: first.ok_or_else(|| Fault::of_listener("it names no certificate"))?, by_name })
    }

    fn choose(&self, server_name: Option<&str>) -> &Arc<CertifiedKey> {
        let named = server_name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
            self.by_name.get(&name).or_else(wildcard)
        });
        named.unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.choose(client_hello.server_name())))
    }
}

fn certified(certificate: &Certificate) -> Result<CertifiedKey, Fault> {
    let fault = |what: String| Fault::of(certificate, what);
    let chain = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(format!("the chain cannot be read: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())
        .map_err(|_| fault("the private key cannot be read".to_owned()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| fault(error.to_string()))
}
