//! A certificate authority for one run, and the certificate of the TLS listener.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use url::Host;

use crate::options::AlpnOffer;

/// Browsers refuse server certificates that live longer than 398 days.
const LIFETIME: Duration = Duration::from_hours(397 * 24);

/// How much the clock of a client may be behind ours.
const SKEW: Duration = Duration::from_hours(24);

/// Why there is no TLS.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificates could not be made. The public host may be neither a name nor an address.
    #[error("the certificates could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused the set-up.
    #[error("TLS could not be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What the TLS listener needs.
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    /// The authority's certificate.
    pub(crate) ca_pem: String,
}

impl Tls {
    /// Makes an authority and a certificate for `hosts`, `localhost`, `127.0.0.1` and `::1`.
    ///
    /// The authority's private key is forgotten at once: nobody can sign anything else with it.
    pub(crate) fn new(hosts: &[Host], alpn: AlpnOffer, now: SystemTime) -> Result<Self, TlsError> {
        let issuer = CertifiedIssuer::self_signed(authority(now)?, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = server(hosts, now)?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = match alpn {
            AlpnOffer::Http2AndHttp1 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            AlpnOffer::Http1Only => vec![b"http/1.1".to_vec()],
        };
        Ok(Self {
            config: Arc::new(config),
            ca_pem: issuer.pem(),
        })
    }
}

fn authority(now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = named("Tidings sandbox CA, of one run only");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params, now);
    Ok(params)
}

fn server(hosts: &[Host], now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut names: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    for host in hosts {
        let name = host.to_string().trim_matches(['[', ']']).to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = named("Tidings sandbox");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    limit(&mut params, now);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn limit(params: &mut CertificateParams, now: SystemTime) {
    params.not_before = (now - SKEW).into();
    params.not_after = (now + LIFETIME).into();
}
