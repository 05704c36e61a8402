//! JSON of a peer to manifest and plan: hostile until it has become a value.
//!
//! What is checked here is checked nowhere else: paths, digests, finite times, no path twice and no
//! twins by case or Unicode form. One bad entry refuses the whole text of a plan, which this node is to
//! carry out. What another node says it holds is only compared: there a name that this system would
//! not write is left out and reported, so that the node is brought in step in all the rest (threat 24).

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::plan::refuse_twins;
use crate::{Digest, Entry, Error, Manifest, Plan, RelPath, Result};

const WHAT: &str = "the metadata";
const RULE_BYTES: usize = 4096;

/// What another node says it holds.
#[derive(Debug, Default, PartialEq)]
pub struct Claim {
    /// What of it has a name that can be compared.
    pub manifest: Manifest,
    /// The other names, shortened and printable as text, and the rule that each breaks. No plan can hold one.
    pub unnameable: Vec<(String, &'static str)>,
}

impl Claim {
    /// Reads a node's own metadata, one object, path to entry, for a comparison.
    ///
    /// Its twins stay: on its file system they are two files, and a plan may delete one of them.
    ///
    /// # Errors
    /// [`Error::BadData`] for anything else, [`Error::BadPath`] for a path that stands there twice; an [`Error`]
    /// that the reader carries inside its `io::Error` comes back as it is.
    pub fn read_wire(input: impl Read) -> Result<Self> {
        let mut unnameable = Vec::new();
        let entries = read(input, Group { rules: &mut Rules::default(), unnameable: Some(&mut unnameable) })?;
        refuse_repeats(entries.iter().map(|entry| &entry.path).collect())?;
        Ok(Self { manifest: entries.into(), unnameable })
    }
}

impl Manifest {
    /// Reads metadata whose every name must be one that this system would write: one object, path to entry.
    ///
    /// # Errors
    /// As [`Claim::read_wire`]; also [`Error::BadData`] for a bad name, [`Error::BadPath`] for twins.
    pub fn read_wire(input: impl Read) -> Result<Self> {
        let entries = read(input, Group { rules: &mut Rules::default(), unnameable: None })?;
        refuse_twins(entries.iter().map(|entry| &entry.path))?;
        Ok(entries.into())
    }
}

impl Plan {
    /// Reads a master's three groups; a group that is not there is empty.
    ///
    /// # Errors
    /// As [`Manifest::read_wire`]; also if a path stands in two groups.
    pub fn read_wire(input: impl Read) -> Result<Self> {
        let plan = read(input, Groups)?;
        refuse_twins(plan.written().map(|entry| &entry.path))?;
        refuse_repeats(plan.written().chain(&plan.extra).map(|entry| &entry.path).collect())?;
        Ok(plan)
    }
}

/// A file that is written and deleted by one plan has no defined outcome. Twins between the written
/// and the deleted are fine: a master may rename `a` to `A`.
fn refuse_repeats(mut paths: Vec<&RelPath>) -> Result<()> {
    paths.sort_unstable();
    match paths.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::BadPath { path: pair[0].to_string(), why: "it stands there twice" }),
    }
}

fn read<S: for<'de> DeserializeSeed<'de, Value = T>, T>(input: impl Read, seed: S) -> Result<T> {
    // The parser asks for single bytes; the buffer keeps that from the reader.
    let mut json = serde_json::Deserializer::from_reader(io::BufReader::with_capacity(64 * 1024, input));
    let value = seed.deserialize(&mut json).map_err(refused)?;
    json.end().map_err(refused)?;
    Ok(value)
}

fn refused(error: serde_json::Error) -> Error {
    if !error.is_io() {
        return Error::BadData { what: WHAT, why: error.to_string() };
    }
    match io::Error::from(error).downcast::<Error>() {
        Ok(inner) => inner,
        Err(source) => Error::Io { action: "read", path: WHAT.into(), source },
    }
}

/// Each rule key once, however many entries name it.
#[derive(Default)]
struct Rules(HashSet<Arc<str>>);

impl Rules {
    fn intern(&mut self, key: &str) -> Arc<str> {
        if let Some(known) = self.0.get(key) {
            return Arc::clone(known);
        }
        let new: Arc<str> = key.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

struct Groups;

impl<'de> DeserializeSeed<'de> for Groups {
    type Value = Plan;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Plan, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Groups {
    type Value = Plan;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of three groups")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plan, A::Error> {
        let mut rules = Rules::default();
        let [mut missing, mut shared, mut extra] = [None, None, None];
        while let Some(name) = map.next_key::<String>()? {
            let group = match name.as_str() {
                "missing" => &mut missing,
                "shared" => &mut shared,
                "extra" => &mut extra,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if group.replace(map.next_value_seed(Group { rules: &mut rules, unnameable: None })?).is_some() {
                return Err(de::Error::custom(format_args!("the group {name} stands there twice")));
            }
        }
        let [missing, shared, extra] = [missing, shared, extra].map(Option::unwrap_or_default);
        Ok(Plan { missing, shared, extra })
    }
}

struct Group<'r> {
    rules: &'r mut Rules,
    /// Where bad names go; without it one of them refuses the whole.
    unnameable: Option<&'r mut Vec<(String, &'static str)>>,
}

impl<'de> DeserializeSeed<'de> for Group<'_> {
    type Value = Vec<Entry>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Vec<Entry>, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Group<'_> {
    type Value = Vec<Entry>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, path to entry")
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Vec<Entry>, A::Error> {
        let mut entries = Vec::new();
        while let Some(path) = map.next_key_seed(Path)? {
            let (digest, mod_time, rule) = map.next_value_seed(Fields(self.rules))?;
            match (path, &mut self.unnameable) {
                (Ok(path), _) => entries.push(Entry { path, digest, mod_time, rule }),
                (Err(Error::BadPath { path, why }), Some(unnameable)) => unnameable.push((path, why)),
                (Err(error), _) => return Err(de::Error::custom(error)),
            }
        }
        Ok(entries)
    }
}

/// A path, or the rule that it breaks. Read as bytes: Python writes names that are not UTF-8 as lone
/// surrogates, which no text can hold.
struct Path;

impl<'de> DeserializeSeed<'de> for Path {
    type Value = Result<RelPath>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Path {
    type Value = Result<RelPath>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path")
    }
    fn visit_bytes<E: de::Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(std::str::from_utf8(name).map_or_else(|_| Err(not_utf8(name)), RelPath::new))
    }
}

fn not_utf8(name: &[u8]) -> Error {
    let shown =
        name.utf8_chunks().fold(String::new(), |shown, chunk| shown + chunk.valid() + &escaped(chunk.invalid()));
    Error::BadPath { path: shown.chars().take(200).collect(), why: "it is not UTF-8" }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// One entry without its path.
struct Fields<'r>(&'r mut Rules);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = (Digest, f64, Arc<str>);
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Field {
    ModTime,
    ClusterItemKey,
    Hash,
    /// `merged` and its companions among them: the name alone says it, and we never merge.
    #[serde(other)]
    Ignored,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = (Digest, f64, Arc<str>);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with hash, mod_time and cluster_item_key")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut hash, mut time, mut rule) = (None, None, None);
        while let Some(field) = map.next_key()? {
            let again = match field {
                Field::Hash => hash.replace(map.next_value_seed(Text("128 hex digits", digest))?).is_some(),
                Field::ModTime => time.replace(map.next_value::<f64>()?).is_some(),
                Field::ClusterItemKey => {
                    let seed = Text("a folder key", |text: &str| {
                        if text.len() > RULE_BYTES { Err("it is too long".to_owned()) } else { Ok(self.0.intern(text)) }
                    });
                    rule.replace(map.next_value_seed(seed)?).is_some()
                }
                Field::Ignored => map.next_value::<IgnoredAny>().map(|_| false)?,
            };
            if again {
                return Err(de::Error::custom("an entry holds a key twice"));
            }
        }
        Ok((
            hash.ok_or_else(|| de::Error::missing_field("hash"))?,
            time.filter(|time| time.is_finite()).ok_or_else(|| de::Error::missing_field("mod_time"))?,
            rule.ok_or_else(|| de::Error::missing_field("cluster_item_key"))?,
        ))
    }
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| "a hash is not 128 hex digits".to_owned())
}

/// A string that becomes a value at once, without a copy of the text: what it is, and how.
struct Text<F>(&'static str, F);

impl<'de, T, F: FnOnce(&str) -> Result<T, String>> DeserializeSeed<'de> for Text<F> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<T, D::Error> {
        input.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, rest: &str) -> String {
        format!(
            "\"{path}\": {{\"mod_time\": 1, \"cluster_item_key\": \"a/\", \"hash\": \"{}\"{rest}}}",
            "ab".repeat(64)
        )
    }

    fn manifest(entries: &[String]) -> Result<Manifest> {
        Manifest::read_wire(format!("{{{}}}", entries.join(", ")).as_bytes())
    }

    #[test]
    fn unknown_keys_and_groups_are_ignored_and_missing_groups_are_empty() {
        let odd = entry("a/b", ", \"merged\": 7, \"future\": {\"x\": [1, null]}");
        let plan = Plan::read_wire(format!("{{\"later\": [], \"shared\": {{{odd}}}}}").as_bytes()).unwrap();
        assert_eq!((plan.missing.len(), plan.shared.len(), plan.extra.len()), (0, 1, 0));
        assert_eq!(Plan::read_wire(&b" {} "[..]).unwrap(), Plan::default());
        let one = manifest(&[entry("a/b", ""), entry("a/c", "")]).unwrap();
        assert!(Arc::ptr_eq(&one.entries()[0].rule, &one.entries()[1].rule));
    }

    #[test]
    fn threat_24_a_bad_path_or_a_twin_refuses_the_whole() {
        for bad in ["../x", "/x", "a/../../b", "a\\u0000b", "a\\\\b", "C:/x", "", "a/\\udce9"] {
            assert!(manifest(&[entry("a/good", ""), entry(bad, "")]).is_err(), "{bad} was accepted");
        }
        assert!(manifest(&[entry("a/b", ""), entry("a/b", "")]).is_err());
        assert!(manifest(&[entry("a/b", ""), entry("a/B", "")]).is_err());
        let groups = |missing: &str, shared: &str, extra: &str| {
            let [missing, shared, extra] = [missing, shared, extra].map(|path| entry(path, ""));
            let text = format!("{{\"missing\": {{{missing}}}, \"shared\": {{{shared}}}, \"extra\": {{{extra}}}}}");
            Plan::read_wire(text.as_bytes())
        };
        assert!(groups("a/b", "a/B", "c").is_err());
        assert!(groups("a/b", "c", "a/b").is_err());
        assert!(groups("a/b", "c", "a/B").is_ok(), "a rename by case alone is a plan that a master may send");
    }

    #[test]
    fn threat_24_a_name_that_no_plan_may_hold_is_left_out_of_what_a_node_claims() {
        let long = "x".repeat(256);
        let bad = ["../x", "/x", "a/../../b", "a\\u0000b", "a\\\\b", "C:/x", "", "a/\\udce9", "a/\\ud83d", &long];
        let mut all = bad.map(|name| entry(name, "")).to_vec();
        all.extend(["a/b", "a/B", "a/\\ud83d\\ude00"].map(|name| entry(name, "")));
        let claim = Claim::read_wire(format!("{{{}}}", all.join(", ")).as_bytes()).unwrap();
        let paths: Vec<_> = claim.manifest.entries().iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a/B", "a/b", "a/\u{1f600}"]);
        assert_eq!(claim.unnameable.len(), bad.len());
        assert!(claim.unnameable.contains(&("a/\\xed\\xb3\\xa9".to_owned(), "it is not UTF-8")), "{claim:?}");
        for other in ["{\"../x\": 7}".to_owned(), format!("{{{}, {}}}", entry("a", ""), entry("a", ""))] {
            assert!(Claim::read_wire(other.as_bytes()).is_err(), "{other:.80}");
        }
        let raw = [b"{\"a/\xff".as_slice(), entry("", "").strip_prefix('"').unwrap().as_bytes(), b"}"].concat();
        assert_eq!(Claim::read_wire(raw.as_slice()).unwrap().unnameable, [("a/\\xff".to_owned(), "it is not UTF-8")]);
    }

    #[test]
    fn threat_07_what_is_not_metadata_is_a_checked_error() {
        let hash = "ab".repeat(64);
        let deep = format!("{{\"x\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for bad in [
            "",
            "[]",
            "{",
            "{} x",
            "{\"a\": 1}",
            "{\"a\": {}}",
            &entry("a", ", \"hash\": \"00\""),
            &format!("{{{}}}", entry("a", &format!(", \"hash\": \"{hash}\""))),
            &format!("{{\"a\": {{\"mod_time\": 1e999, \"cluster_item_key\": \"a/\", \"hash\": \"{hash}\"}}}}"),
            &format!("{{\"a\": {{\"mod_time\": NaN, \"cluster_item_key\": \"a/\", \"hash\": \"{hash}\"}}}}"),
            &format!("{{\"a\": {{\"mod_time\": \"1\", \"cluster_item_key\": \"a/\", \"hash\": \"{hash}\"}}}}"),
            &format!("{{\"a\": {{\"mod_time\": 1, \"cluster_item_key\": null, \"hash\": \"{hash}\"}}}}"),
            &format!("{{\"a\": {{\"mod_time\": 1, \"cluster_item_key\": \"a/\", \"hash\": \"{}\"}}}}", &hash[1..]),
            &deep,
        ] {
            assert!(matches!(Manifest::read_wire(bad.as_bytes()), Err(Error::BadData { .. })), "{bad:.80}");
        }
        assert!(Plan::read_wire(&b"{\"missing\": {}, \"missing\": {}}"[..]).is_err());
        assert!(Plan::read_wire(&b"{\"missing\": null}"[..]).is_err());
    }

    #[test]
    fn an_error_of_the_reader_comes_back_as_it_is() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other(Error::Limit { what: "x".to_owned(), limit: 7, setting: "" }))
            }
        }
        assert!(matches!(Manifest::read_wire(Broken), Err(Error::Limit { limit: 7, .. })));
    }
}
