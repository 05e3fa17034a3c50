use std::num::NonZeroU16;

/// Largest body for Firefox for Android, whose bridge takes no more (Mozilla's documentation of
/// its push service).
pub(crate) const MAX_BRIDGED_BODY_BYTES: usize = 2744;

const DEFAULT_STEP: NonZeroU16 = match NonZeroU16::new(128) {
    Some(step) => step,
    None => NonZeroU16::MIN,
};

/// How much a message is padded, so that the push service learns less from its length.
///
/// The default is a multiple of 128 octets.
///
/// Spec: RFC 8188 §4.8, RFC 8291 §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Padding {
    /// Not at all.
    None,
    /// The plaintext is filled up to a multiple of this many octets.
    ///
    /// Capped so that the body stays within 4096 octets, and within the 2744 octets that Firefox
    /// for Android can receive if it does so without padding.
    ToMultipleOf(NonZeroU16),
    /// The plaintext is filled up to the largest that the content encoding can carry. Firefox for
    /// Android cannot receive such bodies.
    Full,
}

/// What the plaintext may grow to in one content encoding, in octets.
pub(crate) struct PaddingLimits {
    /// In a body that Firefox for Android can receive.
    pub(crate) bridged: usize,
    /// In any body.
    pub(crate) largest: usize,
}

impl Padding {
    /// Octets of padding for a plaintext of `length` octets, itself within the limit.
    pub(crate) fn octets(self, length: usize, limits: &PaddingLimits) -> usize {
        let limit = if length <= limits.bridged {
            limits.bridged
        } else {
            limits.largest
        };
        let padded = match self {
            Self::None => length,
            Self::ToMultipleOf(step) => length.next_multiple_of(usize::from(step.get())).min(limit),
            Self::Full => limits.largest,
        };
        padded.saturating_sub(length)
    }
}

impl Default for Padding {
    fn default() -> Self {
        Self::ToMultipleOf(DEFAULT_STEP)
    }
}
