//! A fixed number of bits, stored as octets.

/// At most 65 535 bits; bit `n` is bit `n % 8` of octet `n / 8`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitmap {
    octets: Vec<u8>,
    length: u16,
}

impl Bitmap {
    /// `length` bits, none of them set.
    pub fn new(length: u16) -> Self {
        Self {
            octets: vec![0; octets_for(length)],
            length,
        }
    }

    /// From the octets a store keeps; `None` if they are not as many as `length` bits need, or
    /// bits behind the last are set.
    pub fn from_octets(octets: Vec<u8>, length: u16) -> Option<Self> {
        let right_size = octets.len() == octets_for(length);
        let spare_bits = match length % 8 {
            0 => 0,
            used => octets.last().copied().unwrap_or(0) >> used,
        };
        (right_size && spare_bits == 0).then_some(Self { octets, length })
    }

    /// Sets a bit and says whether it was not set before. Bits behind the last stay unset.
    pub fn set(&mut self, bit: u16) -> bool {
        if bit >= self.length {
            return false;
        }
        let mask = 1 << (bit % 8);
        match self.octets.get_mut(usize::from(bit / 8)) {
            Some(octet) if *octet & mask == 0 => {
                *octet |= mask;
                true
            }
            _ => false,
        }
    }

    /// Clears a bit and says whether it was set.
    pub fn clear(&mut self, bit: u16) -> bool {
        let was_set = self.get(bit);
        if was_set && let Some(octet) = self.octets.get_mut(usize::from(bit / 8)) {
            *octet &= !(1 << (bit % 8));
        }
        was_set
    }

    /// Whether a bit is set.
    pub fn get(&self, bit: u16) -> bool {
        bit < self.length
            && self
                .octets
                .get(usize::from(bit / 8))
                .is_some_and(|o| o & (1 << (bit % 8)) != 0)
    }

    /// How many bits are set.
    pub fn count(&self) -> u32 {
        self.octets.iter().map(|octet| octet.count_ones()).sum()
    }

    /// How many bits there are, set or not.
    pub fn len(&self) -> u16 {
        self.length
    }

    /// Whether there are no bits at all.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The octets a store keeps.
    pub fn as_octets(&self) -> &[u8] {
        &self.octets
    }
}

fn octets_for(length: u16) -> usize {
    usize::from(length).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn setting_twice_tells_so() {
        let mut bitmap = Bitmap::new(9);
        assert!(bitmap.set(8));
        assert!(!bitmap.set(8));
        assert!(!bitmap.set(9), "there is no bit 9");
        assert!(bitmap.get(8) && !bitmap.get(7) && !bitmap.get(9));
        assert_eq!(bitmap.count(), 1);
        assert_eq!(bitmap.as_octets(), [0, 1]);
    }

    #[test]
    fn stored_octets_must_fit() {
        assert!(Bitmap::from_octets(vec![0xff, 0x01], 9).is_some());
        assert!(
            Bitmap::from_octets(vec![0xff, 0x02], 9).is_none(),
            "a bit behind the last"
        );
        assert!(Bitmap::from_octets(vec![0xff], 9).is_none());
        assert!(Bitmap::from_octets(vec![], 0).is_some());
    }

    proptest! {
        #[test]
        fn holds_exactly_what_was_set(bits in prop::collection::btree_set(0u16..4096, 0..200)) {
            let mut bitmap = Bitmap::new(4096);
            for bit in &bits {
                prop_assert!(bitmap.set(*bit));
            }
            let again = Bitmap::from_octets(bitmap.as_octets().to_vec(), 4096).unwrap();
            let held: std::collections::BTreeSet<u16> = (0..4096).filter(|b| again.get(*b)).collect();
            prop_assert_eq!(&held, &bits);
            prop_assert_eq!(again.count() as usize, bits.len());
            for bit in &bits {
                prop_assert!(bitmap.clear(*bit) && !bitmap.clear(*bit));
            }
            prop_assert_eq!(bitmap, Bitmap::new(4096));
        }
    }
}
