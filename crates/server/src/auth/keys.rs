//! The keys of a server.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderName, header};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::digest::Digest;
use super::error::{KeysError, LONGEST};
use super::key_file;
use super::limits::KeyLimits;
use super::meter::Meter;
use super::secret::Secret;
use crate::api_error::ApiError;

/// Where a server's keys come from.
#[derive(Clone, Debug, Default)]
pub struct KeySource {
    /// Those of the command line.
    pub keys: Vec<Secret>,
    /// A file of more, each with a name.
    pub file: Option<PathBuf>,
    /// What every key may take that has no limits of its own. Without keys all clients
    /// together have these.
    pub limits: KeyLimits,
}

/// The keys of a server. Without any, anyone may ask.
#[derive(Clone)]
pub struct Keys(Arc<Shared>);

struct Shared {
    /// Those of the command line, which stay.
    given: Vec<(String, Digest)>,
    file: Option<PathBuf>,
    limits: KeyLimits,
    current: RwLock<Arc<KeySet>>,
}

/// The keys that are right for now.
struct KeySet {
    keys: Vec<(Digest, KeyId)>,
    /// Who asks where there are no keys.
    anyone: Option<KeyId>,
}

/// Whose key a request has.
#[derive(Clone)]
pub(crate) struct KeyId {
    /// `None`: there are no keys.
    name: Option<Arc<str>>,
    pub(crate) meter: Arc<Meter>,
}

impl KeyId {
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// What Anthropic's clients send.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

impl Keys {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// Where one is no key, or the file is wrong or has none.
    pub fn new(source: KeySource) -> Result<Self, KeysError> {
        let mut given = Vec::new();
        for (index, key) in source.keys.iter().enumerate() {
            if key.is_short() && !key.expose().is_empty() {
                tracing::warn!(
                    "an API key has fewer than 16 characters and can be guessed; `openssl rand -hex 32` makes a better one"
                );
            }
            let name = match index {
                0 => "api-key".to_owned(),
                _ => format!("api-key-{}", index + 1),
            };
            given.push((name, key.digest().map_err(KeysError::Key)?));
        }
        let shared = Shared {
            given,
            file: source.file,
            limits: source.limits,
            current: RwLock::new(Arc::new(KeySet::open(source.limits))),
        };
        let keys = Self(Arc::new(shared));
        if keys.is_required() {
            let set = keys.read()?;
            keys.set(set);
        }
        Ok(keys)
    }

    /// Whether a request needs one.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.0.file.is_some() || !self.0.given.is_empty()
    }

    /// Whether a request with this key is let in.
    #[must_use]
    pub fn accepts(&self, key: &[u8]) -> bool {
        let set = self.current();
        set.anyone.is_some() || set.find(key).is_some()
    }

    pub(crate) fn has_file(&self) -> bool {
        self.0.file.is_some()
    }

    /// Reads the file again, if there is one. A key that is gone from it is wrong from now
    /// on, also for connections that are open.
    ///
    /// # Errors
    ///
    /// Where the file is wrong; the keys are as before.
    pub(crate) fn reload(&self) -> Result<Option<Reloaded>, KeysError> {
        let Some(file) = self.0.file.clone() else {
            return Ok(None);
        };
        let set = self.read()?;
        let names = set.names();
        let before = self.current().names();
        let reloaded = Reloaded {
            file,
            keys: set.keys.len(),
            added: names.difference(&before).count(),
            removed: before.difference(&names).count(),
        };
        self.set(set);
        Ok(Some(reloaded))
    }

    /// Whose key a request has.
    ///
    /// # Errors
    ///
    /// 401 where it has none, or a wrong one.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<KeyId, ApiError> {
        let set = self.current();
        if let Some(anyone) = &set.anyone {
            return Ok(anyone.clone());
        }
        let key = sent(headers).ok_or_else(ApiError::no_key)?;
        set.find(key).cloned().ok_or_else(ApiError::wrong_key)
    }

    fn current(&self) -> Arc<KeySet> {
        let current = self.0.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, set: KeySet) {
        let current = self.0.current.write();
        *current.unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    fn read(&self) -> Result<KeySet, KeysError> {
        let lines = match &self.0.file {
            Some(file) => {
                warn_of_open(file);
                key_file::read(file)?
            }
            None => Vec::new(),
        };
        let before = self.current();
        let mut ids = HashMap::new();
        let mut id = |name: &str, limits| {
            let made = || KeyId::new(name, limits, &before);
            ids.entry(name.to_owned()).or_insert_with(made).clone()
        };
        let mut keys = Vec::new();
        for (name, digest) in &self.0.given {
            keys.push((*digest, id(name, self.0.limits)));
        }
        for line in lines {
            keys.push((line.digest, id(&line.name, line.limits.or(self.0.limits))));
        }
        Ok(KeySet { keys, anyone: None })
    }
}

/// Anyone may ask, and as much as there is.
impl Default for Keys {
    fn default() -> Self {
        Self(Arc::new(Shared {
            given: Vec::new(),
            file: None,
            limits: KeyLimits::default(),
            current: RwLock::new(Arc::new(KeySet::open(KeyLimits::default()))),
        }))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.current().keys.len())
    }
}

/// What a file of keys came to when it was read again.
pub(crate) struct Reloaded {
    pub(crate) file: PathBuf,
    pub(crate) keys: usize,
    /// Names that are new.
    pub(crate) added: usize,
    /// Names that are gone.
    pub(crate) removed: usize,
}

impl KeySet {
    fn open(limits: KeyLimits) -> Self {
        let anyone = KeyId {
            name: None,
            meter: Arc::new(Meter::new(limits)),
        };
        Self {
            keys: Vec::new(),
            anyone: Some(anyone),
        }
    }

    fn names(&self) -> HashSet<Arc<str>> {
        let names = self.keys.iter().filter_map(|(_, id)| id.name.clone());
        names.collect()
    }

    /// Looks at all keys in the same way, whichever is right, and none.
    fn find(&self, key: &[u8]) -> Option<&KeyId> {
        let digest = Digest::of(key);
        let mut found = 0_u64;
        for (number, (known, _)) in (1..).zip(&self.keys) {
            found.conditional_assign(&number, known.ct_eq(&digest));
        }
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        self.keys.get(index).map(|(_, id)| id)
    }
}

impl KeyId {
    /// What the name's key has taken already counts, where its limits stay.
    fn new(name: &str, limits: KeyLimits, before: &KeySet) -> Self {
        let known = before.keys.iter().map(|(_, id)| id);
        let mut known = known.filter(|id| id.name() == Some(name));
        match known.find(|id| id.meter.limits() == limits) {
            Some(known) => known.clone(),
            None => Self {
                name: Some(name.into()),
                meter: Arc::new(Meter::new(limits)),
            },
        }
    }
}

/// The key that a request came with.
fn sent(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
    });
    let key = match bearer {
        Some(key) => key.trim_ascii(),
        None => headers.get(X_API_KEY)?.as_bytes().trim_ascii(),
    };
    // A longer one is wrong anyway, and is not worth hashing.
    Some(&key[..key.len().min(LONGEST + 1)])
}

fn warn_of_open(file: &Path) {
    if key_file::is_open(file) {
        let file = file.display();
        tracing::warn!(
            "all users of this machine may read the API keys in {file}; `chmod 600 {file}` keeps them out"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroU32;

    use axum::http::HeaderValue;

    use super::*;

    const FIRST: &str = "first-key-0123456789";
    const SECOND: &str = "second-key-0123456789";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn bearer(key: &str) -> HeaderMap {
        headers(&[("authorization", &format!("Bearer {key}"))])
    }

    fn name(keys: &Keys, headers: &HeaderMap) -> Option<String> {
        let id = keys.check(headers).ok()?;
        Some(id.name().unwrap_or("anyone").to_owned())
    }

    fn given(keys: &[&str]) -> Keys {
        Keys::new(KeySource {
            keys: keys.iter().map(|key| Secret::new(*key)).collect(),
            ..KeySource::default()
        })
        .unwrap()
    }

    #[test]
    fn a_key_comes_as_clients_send_it() {
        let keys = given(&[FIRST, SECOND]);
        for (sent, who) in [
            (bearer(FIRST), Some("api-key")),
            (bearer(SECOND), Some("api-key-2")),
            (
                headers(&[("authorization", &format!("bearer   {FIRST} "))]),
                Some("api-key"),
            ),
            (headers(&[("x-api-key", SECOND)]), Some("api-key-2")),
            (
                headers(&[("authorization", "Basic eA=="), ("x-api-key", FIRST)]),
                Some("api-key"),
            ),
            (
                headers(&[("authorization", "Bearer wrong"), ("x-api-key", FIRST)]),
                None,
            ),
            (headers(&[("authorization", FIRST)]), None),
            (headers(&[("authorization", "Bearer ")]), None),
            (headers(&[("authorization", "Bearer")]), None),
            (headers(&[]), None),
            (bearer(&FIRST[1..]), None),
            (bearer(&format!("{FIRST}x")), None),
            (bearer(&"x".repeat(60_000)), None),
            (bearer(&format!("{FIRST},{SECOND}")), None),
        ] {
            assert_eq!(name(&keys, &sent).as_deref(), who, "{sent:?}");
        }
        assert_eq!(
            name(&Keys::default(), &bearer("x")).as_deref(),
            Some("anyone")
        );
        assert!(!Keys::default().is_required() && keys.is_required());
        assert_eq!(format!("{keys:?}"), "Keys(2)");
    }

    #[test]
    fn a_file_is_read_again_and_a_broken_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let write = |text: &str| fs::write(&file, text).unwrap();
        let source = || KeySource {
            keys: vec![Secret::new(FIRST)],
            file: Some(file.clone()),
            limits: KeyLimits::default(),
        };
        assert!(matches!(Keys::new(source()), Err(KeysError::Read { .. })));
        write("# nobody\n");
        assert!(matches!(Keys::new(source()), Err(KeysError::None { .. })));
        write(&format!("bob {SECOND}\n"));
        let keys = Keys::new(source()).unwrap();
        assert_eq!(name(&keys, &bearer(SECOND)).as_deref(), Some("bob"));
        for broken in [String::new(), format!("bob {SECOND}x\nbob\n")] {
            write(&broken);
            assert!(keys.reload().is_err());
            assert_eq!(name(&keys, &bearer(SECOND)).as_deref(), Some("bob"));
        }
        write(&format!("eve {SECOND}x\n"));
        let reloaded = keys.reload().unwrap().unwrap();
        assert_eq!((reloaded.keys, reloaded.added, reloaded.removed), (2, 1, 1));
        assert_eq!(name(&keys, &bearer(SECOND)), None);
        assert_eq!(
            name(&keys, &bearer(&format!("{SECOND}x"))).as_deref(),
            Some("eve")
        );
        assert_eq!(name(&keys, &bearer(FIRST)).as_deref(), Some("api-key"));
    }

    #[test]
    fn what_a_name_has_taken_counts_after_its_key_was_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, format!("bob {FIRST} parallel-requests=1\n")).unwrap();
        let source = KeySource {
            file: Some(file.clone()),
            ..KeySource::default()
        };
        let keys = Keys::new(source).unwrap();
        let permit = keys.check(&bearer(FIRST)).unwrap().meter.begin().unwrap();
        fs::write(&file, format!("bob {SECOND} parallel-requests=1\n")).unwrap();
        keys.reload().unwrap();
        let renewed = keys.check(&bearer(SECOND)).unwrap();
        assert!(renewed.meter.begin().is_err());
        drop(permit);
        assert!(renewed.meter.begin().is_ok());
    }

    #[test]
    fn without_keys_all_clients_share_the_limits() {
        let limits = KeyLimits {
            requests: NonZeroU32::new(1),
            ..KeyLimits::default()
        };
        let source = KeySource {
            limits,
            ..KeySource::default()
        };
        let keys = Keys::new(source).unwrap();
        let anyone = keys.check(&bearer("whatever")).unwrap();
        assert!(anyone.meter.begin().is_ok());
        assert!(
            keys.check(&HeaderMap::new())
                .unwrap()
                .meter
                .begin()
                .is_err()
        );
    }
}
