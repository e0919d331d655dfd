//! Secrets as presented, against a reader that computes the checksum bit by bit:
//! both take the same texts, and a secret that was read is revealed as it came.

#![no_main]

use agentidp_fuzz::secret::{Secret, SecretDigest, SecretKind};
use data_encoding::BASE32_NOPAD;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

const KINDS: [(SecretKind, &str); 2] = [
    (SecretKind::Client, "agentidp_cs_"),
    (SecretKind::Edge, "agentidp_es_"),
];
const CHECKSUM: usize = 7;

fuzz_target!(|text: &str| {
    check(text);
    // No fuzzer guesses a checksum, so the text gets the one that it should have.
    let cut = text.len().saturating_sub(CHECKSUM);
    if text.is_char_boundary(cut) {
        check(&format!("{}{}", &text[..cut], checksum(&text[..cut])));
    }
});

fn check(text: &str) {
    for (kind, prefix) in KINDS {
        let read = Secret::read(kind, text);
        assert_eq!(read.is_some(), is_secret(prefix, text), "{kind:?} {text}");
        let Some(secret) = read else {
            continue;
        };
        assert_eq!(secret.reveal(), text);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let digest = secret.digest();
        assert_eq!(digest.bytes()[..], Sha256::digest(text)[..]);
        assert!(digest.matches(&SecretDigest::stored(digest.bytes()).unwrap()));
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] ^= 1;
            let other = String::from_utf8(other).unwrap();
            assert!(Secret::read(kind, &other).is_none(), "{other}");
        }
    }
}

fn is_secret(prefix: &str, text: &str) -> bool {
    // 256 bits and 32, five to a letter.
    text.is_ascii()
        && text.len() == prefix.len() + 52 + CHECKSUM
        && text.starts_with(prefix)
        && text.ends_with(&checksum(&text[..text.len() - CHECKSUM]))
}

/// CRC-32 as IEEE 802.3 has it, in base32.
fn checksum(body: &str) -> String {
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    BASE32_NOPAD.encode(&(!crc).to_be_bytes()).to_lowercase()
}
