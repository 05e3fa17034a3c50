use aws_lc_rs::rand;

/// Where salts come from.
///
/// Passed in so that tests can reproduce a message octet for octet. An implementation that is
/// not a cryptographic generator breaks the encryption: two messages under one input key with
/// the same salt use the same key and nonce (RFC 8188 §4.3).
pub trait Randomness: Send + Sync {
    /// Fills `bytes` with unpredictable octets.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's randomness, by way of aws-lc's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        // aws-lc itself aborts when the system gives no entropy. Should that ever change, going
        // on with a predictable salt would be worse than stopping.
        if rand::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}
