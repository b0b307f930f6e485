//! Reasoning that a client keeps for the server, sealed: what comes back is what went out.
//!
//! A sealed text is base64url of a version, the key's id, a random nonce and the ciphertext of
//! XChaCha20-Poly1305. What it belongs to is authenticated with it: what it is for, the model, and the
//! name of the API key that it was made for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The form of a sealed text.
const VERSION: u8 = 1;
/// Bytes of a key, of its id, and of a nonce.
const KEY: usize = 32;
const ID: usize = 8;
const NONCE: usize = 24;

/// A key that reasoning is sealed with. Its memory is cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(Zeroizing<[u8; KEY]>);

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key is 64 hexadecimal digits; `openssl rand -hex 32` makes one")]
pub struct NoSealKey;

impl SealKey {
    /// A key that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(Zeroizing::new(
            XChaCha20Poly1305::generate_key(&mut OsRng).into(),
        ))
    }

    /// The keys of a file, one a line; lines that begin with `#` are none.
    ///
    /// # Errors
    ///
    /// Where a line is no key, or there is none.
    pub fn of_file(text: &str) -> Result<Vec<Self>, NoSealKey> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(NoSealKey);
        }
        Ok(keys)
    }

    /// Tells keys apart, and nothing of them.
    fn id(&self) -> [u8; ID] {
        let digest = Sha256::new_with_prefix(b"mxfp4 sealing key ")
            .chain_update(self.0.as_slice())
            .finalize();
        let mut id = [0; ID];
        id.copy_from_slice(&digest[..ID]);
        id
    }
}

/// It says nothing of the text, which may be most of a key.
impl FromStr for SealKey {
    type Err = NoSealKey;

    fn from_str(text: &str) -> Result<Self, NoSealKey> {
        let text = text.trim().as_bytes();
        let mut key = Zeroizing::new([0; KEY]);
        if text.len() != 2 * KEY {
            return Err(NoSealKey);
        }
        for (byte, digits) in key.iter_mut().zip(text.chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let (Some(high), Some(low)) = (digit(digits[0]), digit(digits[1])) else {
                return Err(NoSealKey);
            };
            *byte = (high * 16 + low) as u8;
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

/// What a sealed text belongs to: elsewhere it does not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    /// What it is for, as `responses`: one interface's is no other's.
    pub(crate) purpose: &'static str,
    /// The model that wrote it.
    pub(crate) model: &'a str,
    /// The name of the API key that it was made for; [`None`] where there are no keys.
    pub(crate) owner: Option<&'a str>,
}

/// Why a text does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsealed {
    /// It has not the form of one.
    #[error("is not what this server gave out; send it back as it came, or leave the item out")]
    NotSealed,
    /// The key is not among ours.
    #[error(
        "was sealed with a key that this server does not have: by another server, or before a restart; \
         leave the item out, and give the server a key (MXFP4_SEAL_KEY) to open it after a restart"
    )]
    OtherKey,
    /// It was changed, or belongs to something else.
    #[error("was altered, or belongs to another model or another API key; leave the item out")]
    Altered,
}

/// Seals and opens texts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Seal(Arc<[Lock]>);

struct Lock {
    id: [u8; ID],
    cipher: XChaCha20Poly1305,
}

impl Seal {
    /// The first key seals; all of them open. Without one, a random key does both until the
    /// process ends.
    pub(crate) fn new(keys: &[SealKey]) -> Self {
        let lock = |key: &SealKey| Lock {
            id: key.id(),
            cipher: XChaCha20Poly1305::new(key.0.as_slice().into()),
        };
        match keys {
            [] => Self([lock(&SealKey::random())].into()),
            keys => Self(keys.iter().map(lock).collect()),
        }
    }

    /// Seals a text.
    pub(crate) fn seal(&self, text: &str, bound: &Bound<'_>) -> String {
        let lock = &self.0[0];
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let aad = bound.bytes();
        let payload = Payload {
            msg: text.as_bytes(),
            aad: &aad,
        };
        // It fails for texts of 256 GiB.
        let sealed = lock.cipher.encrypt(&nonce, payload).unwrap_or_default();
        let parts = [&[VERSION][..], &lock.id, &nonce, &sealed];
        URL_SAFE_NO_PAD.encode(parts.concat())
    }

    /// The text that was sealed.
    pub(crate) fn open(&self, sealed: &str, bound: &Bound<'_>) -> Result<String, Unsealed> {
        let bytes = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| Unsealed::NotSealed)?;
        let (version, rest) = bytes.split_first().ok_or(Unsealed::NotSealed)?;
        let (id, rest) = rest.split_at_checked(ID).ok_or(Unsealed::NotSealed)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(Unsealed::NotSealed)?;
        if *version != VERSION {
            return Err(Unsealed::NotSealed);
        }
        let lock = self.0.iter().find(|lock| lock.id == id);
        let lock = lock.ok_or(Unsealed::OtherKey)?;
        let aad = bound.bytes();
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        let text = lock
            .cipher
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| Unsealed::Altered)?;
        String::from_utf8(text).map_err(|_| Unsealed::Altered)
    }
}

impl Bound<'_> {
    /// Each part with its length before it, so that no two are alike.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let owner = self
            .owner
            .map_or(String::new(), |name| format!("key {name}"));
        for part in [self.purpose, self.model, &owner] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Bound<'static> = Bound {
        purpose: "responses",
        model: "gpt-oss-20b",
        owner: Some("ann"),
    };

    #[test]
    fn keys_are_read_and_never_shown() {
        let text = "0f".repeat(32);
        let key: SealKey = text.parse().unwrap();
        assert_eq!(*key.0, [15; 32]);
        assert_eq!(format!("{key:?}"), "SealKey");
        for text in ["", "0f", &"0g".repeat(32), &"é".repeat(32), &"0".repeat(66)] {
            assert_eq!(text.parse::<SealKey>(), Err(NoSealKey), "{text}");
        }
        let file = format!("# new\n{text}\n\n  {}\n", "aa".repeat(32));
        assert_eq!(SealKey::of_file(&file).unwrap().len(), 2);
        assert_eq!(SealKey::of_file("# none\n"), Err(NoSealKey));
    }

    #[test]
    fn an_old_key_opens_and_a_foreign_one_does_not() {
        let (old, new) = (SealKey::random(), SealKey::random());
        let sealed = Seal::new(std::slice::from_ref(&old)).seal("I thought.", &HERE);
        let rotated = Seal::new(&[new.clone(), old]);
        assert_eq!(rotated.open(&sealed, &HERE).as_deref(), Ok("I thought."));
        let moved = rotated.seal("I thought.", &HERE);
        assert_eq!(
            Seal::new(&[new]).open(&moved, &HERE).as_deref(),
            Ok("I thought.")
        );
        assert_eq!(Seal::new(&[]).open(&moved, &HERE), Err(Unsealed::OtherKey));
    }

    #[test]
    fn it_opens_only_where_it_belongs() {
        let seal = Seal::new(&[]);
        let sealed = seal.seal("I thought.", &HERE);
        for bound in [
            Bound {
                purpose: "messages",
                ..HERE
            },
            Bound {
                model: "gpt-oss-120b",
                ..HERE
            },
            Bound {
                owner: Some("bob"),
                ..HERE
            },
            Bound {
                owner: None,
                ..HERE
            },
            Bound {
                model: "gpt-oss-20",
                owner: Some("bann"),
                ..HERE
            },
        ] {
            assert_eq!(
                seal.open(&sealed, &bound),
                Err(Unsealed::Altered),
                "{bound:?}"
            );
        }
        let open = Bound {
            owner: None,
            ..HERE
        };
        let named = Bound {
            owner: Some(""),
            ..HERE
        };
        assert_eq!(
            seal.open(&seal.seal("", &open), &named),
            Err(Unsealed::Altered)
        );
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_nothing_that_was_altered(
            text in "\\PC{0,200}",
            at in any::<prop::sample::Index>(),
            flip in 1_u8..=255,
            cut in any::<prop::sample::Index>(),
        ) {
            let seal = Seal::new(&[]);
            let sealed = seal.seal(&text, &HERE);
            prop_assert_ne!(&sealed, &seal.seal(&text, &HERE));
            prop_assert_eq!(seal.open(&sealed, &HERE), Ok(text));
            let mut bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
            prop_assert!(seal.open(&sealed[..cut.index(sealed.len())], &HERE).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(seal.open(&URL_SAFE_NO_PAD.encode(bytes), &HERE).is_err());
        }

        #[test]
        fn anything_else_is_refused(text in "\\PC{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let seal = Seal::new(&[]);
            prop_assert!(seal.open(&text, &HERE).is_err());
            prop_assert!(seal.open(&URL_SAFE_NO_PAD.encode(bytes), &HERE).is_err());
        }
    }
}
