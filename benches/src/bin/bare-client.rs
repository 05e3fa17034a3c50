//! The floor that senders are measured against: what no sender in Rust can leave out, and nothing
//! else. A fresh key pair for each message, one token, connections that are kept; no storage, no
//! checks of endpoints, no retries, no time limits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::try_join_all;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Request, StatusCode, Uri};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tidings_benches::job::{self, Job, Outcome, Subscription};
use tidings_benches::{Result, bare};
use tidings_webpush::{Contact, VapidKey};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio_rustls::TlsConnector;

/// After so many messages the connection gets its turn: their frames then leave together.
const MESSAGES_IN_A_TURN: usize = 16;

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    let sender = Rc::new(Sender {
        receivers: job.subscriptions(Receiver::new)?,
        next: Cell::new(0),
        payload: job.payload.clone().into_bytes(),
        authorization: authorization(&job)?,
        ttl: HeaderValue::from(job.ttl),
        outcome: RefCell::default(),
    });
    let origin: Uri = job.audience.parse()?;
    let tls = tls(&job)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    job::wait_for_the_start()?;
    let tasks = LocalSet::new();
    let conversations = (0..job.connections)
        .map(|_| Rc::clone(&sender).send_over_one(&origin, tls.clone(), job.streams));
    tasks.block_on(&runtime, try_join_all(conversations))?;
    sender.outcome.borrow().tell()
}

/// What is kept of a subscription.
struct Receiver {
    endpoint: Box<str>,
    point: [u8; 65],
    auth: [u8; 16],
}

impl Receiver {
    fn new(subscription: Subscription) -> Result<Self> {
        Ok(Self {
            endpoint: subscription.endpoint.into(),
            point: octets(&subscription.keys.p256dh)?,
            auth: octets(&subscription.keys.auth)?,
        })
    }

    fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let receiver = bare::Receiver {
            octets: self.point,
            point: ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, self.point))?,
            auth: self.auth,
        };
        Ok(bare::encrypt(&receiver, plaintext)?)
    }
}

/// One message for all, and how far it has come.
struct Sender {
    receivers: Vec<Receiver>,
    next: Cell<usize>,
    payload: Vec<u8>,
    authorization: HeaderValue,
    ttl: HeaderValue,
    outcome: RefCell<Outcome>,
}

impl Sender {
    /// Opens a connection and sends over it as long as somebody is left, then waits for all answers.
    async fn send_over_one(
        self: Rc<Self>,
        origin: &Uri,
        tls: TlsConnector,
        streams: usize,
    ) -> Result<()> {
        let host = origin.host().ok_or("the audience has no host")?;
        let tcp = TcpStream::connect((host, origin.port_u16().unwrap_or(443))).await?;
        tcp.set_nodelay(true)?;
        let stream = tls
            .connect(ServerName::try_from(host.to_owned())?, tcp)
            .await?;
        let (mut http, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_max_send_streams(streams)
            .handshake::<_, Bytes>(stream)
            .await?;
        let connection = spawn_local(connection);
        let mut answers = Vec::new();
        while let Some(receiver) = self.take() {
            // Ready means that the message before has got its stream, so one waits at most.
            http = http.ready().await?;
            let answer = self.post(&mut http, receiver)?;
            let sender = Rc::clone(&self);
            answers.push(spawn_local(async move {
                let result = read(answer).await;
                sender.outcome.borrow_mut().count(result);
            }));
            if answers.len() % MESSAGES_IN_A_TURN == 0 {
                yield_now().await;
                answers.retain(|answer| !answer.is_finished());
            }
        }
        try_join_all(answers).await?;
        drop(http);
        Ok(connection.await??)
    }

    fn take(&self) -> Option<&Receiver> {
        let next = self.next.get();
        self.next.set(next + 1);
        self.receivers.get(next)
    }

    fn post(&self, http: &mut SendRequest<Bytes>, receiver: &Receiver) -> Result<ResponseFuture> {
        let body = receiver.encrypt(&self.payload)?;
        let request = Request::post(&*receiver.endpoint)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"))
            .header(CONTENT_LENGTH, HeaderValue::from(body.len()))
            .header(HeaderName::from_static("ttl"), self.ttl.clone())
            .body(())?;
        let (answer, mut stream) = http.send_request(request, false)?;
        stream.send_data(body.into(), true)?;
        Ok(answer)
    }
}

async fn read(answer: ResponseFuture) -> Result<()> {
    let (head, mut body) = answer.await?.into_parts();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    if head.status == StatusCode::CREATED {
        Ok(())
    } else {
        Err(format!("answered with {}", head.status).into())
    }
}

fn octets<const N: usize>(base64url: &str) -> Result<[u8; N]> {
    let octets = URL_SAFE_NO_PAD.decode(base64url)?;
    Ok(octets.try_into().map_err(|_| "a key of a wrong length")?)
}

/// The token is signed once for all messages.
fn authorization(job: &Job) -> Result<HeaderValue> {
    #[expect(clippy::disallowed_methods, reason = "a program of its own")]
    let now = SystemTime::now();
    let key = VapidKey::from_key_file(&job::read(&job.private_key_file)?)?;
    let contact = Contact::parse(&job.contact)?;
    let token = key.sign(
        &job.audience,
        Some(&contact),
        now + Duration::from_hours(12),
    )?;
    Ok(token.authorization())
}

fn tls(job: &Job) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&job::read(&job.ca)?)?)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config).into())
}
