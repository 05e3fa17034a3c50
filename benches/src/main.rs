//! One message encrypted by the bare primitives, by tidings-webpush, and by the crates beside it.
//!
//! Every contender encrypts a block of messages in every round, beginning with another contender
//! each time, so that whatever else the machine does meets all of them alike. The time is the
//! processor time of the only thread. Given are the median over the rounds, its quartiles, and the
//! median of the ratios within the rounds.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
use rustix::time::{ClockId, clock_gettime};
use tidings_benches::{Result, bare};
use tidings_webpush::{
    AuthSecret, ContentEncoding, FreshKeyPair, Padding, PushResource, Subscription,
    SystemRandomness, UserAgentKeys, UserAgentPublicKey, aesgcm, decrypt, encrypt,
};

const ROUNDS: usize = 101;
const MESSAGES_IN_A_ROUND: u32 = 100;
const ENDPOINT: &str = "https://push.example.net/x";

/// Name, and a function from plaintext to body.
type Contender<'a> = (&'static str, Box<dyn Fn(&[u8]) -> Result<Vec<u8>> + 'a>);

fn main() -> Result<()> {
    let keys = UserAgentKeys::from_parts(&[9; 32], AuthSecret::from_bytes(&[7; 16])?)?;
    let receivers = Receivers::new(&keys)?;
    let contenders = receivers.contenders();
    for length in [200, 3000] {
        let plaintext = vec![b'x'; length];
        for (name, encrypt) in &contenders {
            verify(&keys, &plaintext, &encrypt(&plaintext)?)
                .map_err(|error| format!("{name}: {error}"))?;
        }
        let rounds = measure(&contenders, &plaintext)?;
        print(&contenders, &plaintext, &rounds)?;
    }
    Ok(())
}

/// The receiver as each crate keeps it between messages.
struct Receivers {
    bare: bare::Receiver,
    subscription: Subscription,
    p256dh: String,
    ece: ([u8; 65], [u8; 16]),
    web_push: web_push::SubscriptionInfo,
    native: (web_push_native::p256::PublicKey, web_push_native::Auth),
}

impl Receivers {
    fn new(keys: &UserAgentKeys) -> Result<Self> {
        let (octets, auth) = (*keys.public_key().as_bytes(), *keys.auth().expose());
        let p256dh = keys.public_key().to_base64url();
        Ok(Self {
            bare: bare::Receiver {
                octets,
                point: ParsedPublicKey::try_from(UnparsedPublicKey::new(&ECDH_P256, octets))?,
                auth,
            },
            subscription: Subscription {
                push_resource: PushResource::parse(ENDPOINT)?,
                p256dh: keys.public_key().clone(),
                auth: keys.auth().clone(),
            },
            web_push: web_push::SubscriptionInfo::new(
                ENDPOINT,
                p256dh.as_str(),
                "BwcHBwcHBwcHBwcHBwcHBw",
            ),
            p256dh,
            ece: (octets, auth),
            native: (
                web_push_native::p256::PublicKey::from_sec1_bytes(&octets)?,
                auth.into(),
            ),
        })
    }

    fn contenders(&self) -> Vec<Contender<'_>> {
        let Subscription { p256dh, auth, .. } = &self.subscription;
        let ours = move |key: &UserAgentPublicKey, plaintext: &[u8]| {
            encrypt(
                key,
                auth,
                plaintext,
                Padding::None,
                &FreshKeyPair,
                &SystemRandomness,
            )
        };
        vec![
            (
                "aws-lc-rs, bare sequence",
                Box::new(|plaintext| Ok(bare::encrypt(&self.bare, plaintext)?)),
            ),
            (
                "tidings-webpush",
                Box::new(move |plaintext| Ok(ours(p256dh, plaintext)?)),
            ),
            (
                "tidings-webpush, key from text each time",
                Box::new(move |plaintext| {
                    let key = UserAgentPublicKey::parse(&self.p256dh)?;
                    Ok(ours(&key, plaintext)?)
                }),
            ),
            (
                "tidings-webpush, aesgcm",
                Box::new(|plaintext| self.legacy(plaintext)),
            ),
            (
                "ece 2.4 (OpenSSL)",
                Box::new(|plaintext| Ok(ece::encrypt(&self.ece.0, &self.ece.1, plaintext)?)),
            ),
            (
                "web-push 0.11 (ece)",
                Box::new(|plaintext| self.web_push(plaintext)),
            ),
            (
                "web-push-native 0.5 (RustCrypto)",
                Box::new(|plaintext| {
                    let (key, auth) = &self.native;
                    Ok(web_push_native::encrypt(plaintext.to_vec(), key, auth)?)
                }),
            ),
        ]
    }

    /// The headers go in front of the body, so that the result can be verified.
    fn legacy(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let payload = self.subscription.encrypt(
            ContentEncoding::Aesgcm,
            plaintext,
            Padding::None,
            &FreshKeyPair,
            &SystemRandomness,
        )?;
        let headers = [payload.encryption(), payload.crypto_key()];
        let [Some(encryption), Some(crypto_key)] = headers else {
            return Err("no headers".into());
        };
        let mut body = format!("{encryption}\n{crypto_key}\n").into_bytes();
        body.extend_from_slice(payload.body());
        Ok(body)
    }

    fn web_push(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut builder = web_push::WebPushMessageBuilder::new(&self.web_push);
        builder.set_payload(web_push::ContentEncoding::Aes128Gcm, plaintext);
        let payload = builder.build()?.payload;
        Ok(payload.ok_or("no payload")?.content)
    }
}

/// Whoever is fast must also be right.
fn verify(keys: &UserAgentKeys, plaintext: &[u8], body: &[u8]) -> Result<()> {
    let opened = if body.starts_with(b"salt=") {
        let mut parts = body.splitn(3, |octet| *octet == b'\n');
        let mut part = || parts.next().unwrap_or_default();
        let (encryption, crypto_key) = (part(), part());
        let parameters = aesgcm::Parameters::parse(
            std::str::from_utf8(encryption)?,
            std::str::from_utf8(crypto_key)?,
        )?;
        aesgcm::decrypt(keys, &parameters, part())?
    } else {
        decrypt(keys, body)?
    };
    if opened == plaintext {
        Ok(())
    } else {
        Err("another plaintext came out".into())
    }
}

/// The time of one message in nanoseconds: by contender, then by round.
fn measure(contenders: &[Contender<'_>], plaintext: &[u8]) -> Result<Vec<Vec<f64>>> {
    let mut rounds = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let took = time(&contenders[index], plaintext)?;
            rounds[index].push(took.as_secs_f64() * 1e9 / f64::from(MESSAGES_IN_A_ROUND));
        }
    }
    Ok(rounds)
}

fn time((_, encrypt): &Contender<'_>, plaintext: &[u8]) -> Result<Duration> {
    // The first messages after a change pay for what the others left in the caches.
    for _ in 0..MESSAGES_IN_A_ROUND / 10 {
        black_box(encrypt(black_box(plaintext))?);
    }
    let began = processor_time()?;
    for _ in 0..MESSAGES_IN_A_ROUND {
        black_box(encrypt(black_box(plaintext))?);
    }
    Ok(processor_time()?.saturating_sub(began))
}

fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::ThreadCPUTime).try_into()?)
}

fn print(contenders: &[Contender<'_>], plaintext: &[u8], rounds: &[Vec<f64>]) -> Result<()> {
    println!(
        "{} octets: {ROUNDS} rounds of {MESSAGES_IN_A_ROUND} messages each, processor time\n",
        plaintext.len()
    );
    println!("| | µs a message | quartiles | × bare | octets of body |");
    println!("|---|---:|---:|---:|---:|");
    for ((name, encrypt), times) in contenders.iter().zip(rounds) {
        let ratios = times.iter().zip(&rounds[0]).map(|(own, bare)| own / bare);
        let mut body = encrypt(plaintext)?;
        if body.starts_with(b"salt=") {
            body = body
                .splitn(3, |octet| *octet == b'\n')
                .nth(2)
                .unwrap_or_default()
                .to_vec();
        }
        println!(
            "| {name} | {:.1} | {:.1} to {:.1} | {:.2} | {} |",
            quantile(times.iter().copied(), 0.5) / 1e3,
            quantile(times.iter().copied(), 0.25) / 1e3,
            quantile(times.iter().copied(), 0.75) / 1e3,
            quantile(ratios, 0.5),
            body.len(),
        );
    }
    println!();
    Ok(())
}

fn quantile(values: impl Iterator<Item = f64>, quantile: f64) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index among some hundred values"
    )]
    let index = (last as f64 * quantile).round() as usize;
    values[index]
}
