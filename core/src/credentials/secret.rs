//! What a secret is: a prefix that scanners recognise, 256 random bits, and a
//! checksum that tells a mistyped or cut secret from a wrong one without asking
//! anybody.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// Who uses a secret; each kind has a prefix of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// An agent, at the token endpoint.
    Client,
    /// A place of the edge, at the feed.
    Edge,
}

impl SecretKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Client => "agentidp_cs_",
            Self::Edge => "agentidp_es_",
        }
    }
}

/// 32 random bytes.
const RANDOM_BYTES: usize = 32;
/// The CRC-32 of prefix and random part.
const CHECKSUM_BYTES: usize = 4;

/// A secret, on its way to whoever may see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

impl Secret {
    /// A new one.
    pub fn generate(kind: SecretKind, rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; RANDOM_BYTES];
        rng.fill_bytes(&mut bytes);
        let body = format!(
            "{}{}",
            kind.prefix(),
            BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
        );
        let checksum = checksum(&body);
        Self(body + &checksum)
    }

    /// The text, for the one who may see it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored.
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Reads a secret that somebody presented. Says nothing of whether it is
    /// anybody's; `None` where it cannot be.
    pub fn read(kind: SecretKind, text: &str) -> Option<Self> {
        let length =
            kind.prefix().len() + (RANDOM_BYTES * 8).div_ceil(5) + (CHECKSUM_BYTES * 8).div_ceil(5);
        if text.len() != length || !text.is_ascii() || !text.starts_with(kind.prefix()) {
            return None;
        }
        let (body, sum) = text.split_at(length - (CHECKSUM_BYTES * 8).div_ceil(5));
        (checksum(body) == sum).then(|| Self(text.to_owned()))
    }
}

fn checksum(body: &str) -> String {
    let sum = crc32fast::hash(body.as_bytes()).to_be_bytes();
    BASE32_NOPAD.encode(&sum).to_ascii_lowercase()
}

impl SecretDigest {
    /// The bytes as they are stored.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest as it was stored.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Whether both are of one secret, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_secret_is_recognised_and_a_typo_is_not() {
        let secret = Secret::generate(SecretKind::Client, &mut rand::rng());
        let text = secret.reveal();
        assert!(text.starts_with("agentidp_cs_"));
        assert_eq!(Secret::read(SecretKind::Client, text), Some(secret.clone()));
        assert_eq!(Secret::read(SecretKind::Edge, text), None);
        assert_eq!(
            Secret::read(SecretKind::Client, &text[..text.len() - 1]),
            None
        );
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'a' { b'b' } else { b'a' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(Secret::read(SecretKind::Client, &other), None, "{other}");
        }
        assert_eq!(Secret::read(SecretKind::Client, &"é".repeat(40)), None);
    }

    #[test]
    fn only_the_same_secret_matches_and_none_is_printed() {
        let one = Secret::generate(SecretKind::Edge, &mut rand::rng());
        let other = Secret::generate(SecretKind::Edge, &mut rand::rng());
        assert!(one.digest().matches(&one.digest()));
        assert!(!one.digest().matches(&other.digest()));
        assert!(!format!("{one:?} {:?}", one.digest()).contains(&one.reveal()[12..]));
        assert!(SecretDigest::stored(&[0; 31]).is_none());
    }

    const KINDS: [SecretKind; 2] = [SecretKind::Client, SecretKind::Edge];

    fn secret(kind: SecretKind, seed: [u8; 32]) -> Secret {
        Secret::generate(kind, &mut rand::rngs::StdRng::from_seed(seed))
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(256)
        })]

        #[test]
        fn a_secret_is_read_back_as_its_own_kind_and_no_other(seed in any::<[u8; 32]>()) {
            for kind in KINDS {
                let secret = secret(kind, seed);
                for read_as in KINDS {
                    let read = Secret::read(read_as, secret.reveal());
                    prop_assert_eq!(read, (read_as == kind).then(|| secret.clone()));
                }
            }
        }

        #[test]
        fn a_secret_with_one_character_changed_swapped_or_lost_is_none(
            seed in any::<[u8; 32]>(),
            at in any::<prop::sample::Index>(),
            to in prop_oneof!["[a-z2-7]".prop_map(|s| s.as_bytes()[0]), 0..0x80u8],
        ) {
            let secret = secret(SecretKind::Client, seed);
            let text = secret.reveal().as_bytes();
            let at = at.index(text.len() - 1);
            let (mut changed, mut swapped, mut cut) = (text.to_vec(), text.to_vec(), text.to_vec());
            changed[at] = to;
            swapped.swap(at, at + 1);
            cut.remove(at);
            for other in [changed, swapped, cut] {
                let other = String::from_utf8(other).unwrap();
                let read = Secret::read(SecretKind::Client, &other);
                prop_assert_eq!(read.is_some(), other == secret.reveal(), "{}", other);
            }
        }

        #[test]
        fn no_text_is_a_secret_by_chance(text in "agentidp_[ce]s_[a-z2-7]{59}|\\PC*") {
            for kind in KINDS {
                prop_assert_eq!(Secret::read(kind, &text), None);
            }
        }
    }
}
