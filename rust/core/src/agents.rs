//! A message of agents (specification 5.7, 5.8): its command and its chunks, out of one JSON text.
//!
//! An old peer's message may be tens of megabytes; here it is looked through while the interpreter
//! goes on, and what is found are places in it: a chunk becomes a text of its own when it is asked
//! for, so that a message is held once and a bad chunk costs no other. What a chunk says is not
//! looked at, and of the other keys nothing is kept.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{Error, Result};

const MOST_CHUNKS: usize = 65_536;
/// What fits into one request to a wazuh-db (6.3): a larger chunk could be kept by no old node.
const CHUNK_BYTES: usize = 65_536;
/// JSON may write a byte as `\u0000`; with the quotes, a longer text is no chunk whatever it says.
const ESCAPED_BYTES: usize = 6 * CHUNK_BYTES + 2;

/// A message whose chunks have been found.
#[derive(Debug)]
pub struct Message<T> {
    text: T,
    command: String,
    chunks: Vec<Range<usize>>,
}

impl<T: AsRef<[u8]>> Message<T> {
    /// Looks through `text`.
    ///
    /// # Errors
    ///
    /// [`Error::BadData`] if it is no such message, or holds more chunks than any peer sends.
    pub fn read(text: T) -> Result<Self> {
        let (command, chunks) = find(text.as_ref())?;
        Ok(Self { text, command, chunks })
    }

    /// What the receiver's database is asked to do.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// How many chunks there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The text of a chunk, from 0 on; `None` beyond the last.
    ///
    /// # Errors
    ///
    /// [`Error::BadData`] if it is no text, or a larger one than may be.
    pub fn chunk(&self, number: usize) -> Option<Result<Cow<'_, str>>> {
        let range = self.chunks.get(number)?.clone();
        Some(unescaped(&self.text.as_ref()[range]))
    }
}

fn find(text: &[u8]) -> Result<(String, Vec<Range<usize>>)> {
    let refused = |error: serde_json::Error| Error::BadData { what: "the message", why: error.to_string() };
    let mut json = serde_json::Deserializer::from_slice(text);
    let found = json.deserialize_map(Keys { text }).map_err(refused)?;
    json.end().map_err(refused)?;
    Ok(found)
}

fn unescaped(json: &[u8]) -> Result<Cow<'_, str>> {
    let refused = |why: String| Error::BadData { what: "a chunk", why };
    if json.len() > ESCAPED_BYTES {
        return Err(refused(format!("it is over the limit of {CHUNK_BYTES} bytes")));
    }
    let text: Text = serde_json::from_slice(json).map_err(|error| refused(error.to_string()))?;
    if text.0.len() > CHUNK_BYTES {
        return Err(refused(format!("its {} bytes are over the limit of {CHUNK_BYTES}", text.0.len())));
    }
    Ok(text.0)
}

/// A text that is copied only where it has escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Keys<'a> {
    text: &'a [u8],
}

impl<'de> Visitor<'de> for Keys<'de> {
    type Value = (String, Vec<Range<usize>>);

    fn expecting(&self, text: &mut fmt::Formatter) -> fmt::Result {
        text.write_str("an object with set_data_command and chunks")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut command, mut chunks) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "set_data_command" => command = Some(map.next_value()?),
                "chunks" => chunks = Some(map.next_value_seed(Chunks { text: self.text })?),
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        let command = command.ok_or_else(|| A::Error::missing_field("set_data_command"))?;
        let chunks = chunks.ok_or_else(|| A::Error::missing_field("chunks"))?;
        Ok((command, chunks))
    }
}

/// Finds the chunks one by one, so that too many are refused before they cost memory.
struct Chunks<'a> {
    text: &'a [u8],
}

impl<'de> DeserializeSeed<'de> for Chunks<'de> {
    type Value = Vec<Range<usize>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Chunks<'de> {
    type Value = Vec<Range<usize>>;

    fn expecting(&self, text: &mut fmt::Formatter) -> fmt::Result {
        text.write_str("an array of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut chunks = Vec::new();
        while let Some(chunk) = array.next_element::<&'de RawValue>()? {
            if chunks.len() == MOST_CHUNKS {
                return Err(A::Error::custom(format_args!("it holds more than {MOST_CHUNKS} chunks")));
            }
            let start = chunk.get().as_ptr().addr() - self.text.as_ptr().addr();
            chunks.push(start..start + chunk.get().len());
        }
        Ok(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        Message::read(text).expect_err("it is no message").to_string()
    }

    fn chunks<T: AsRef<[u8]>>(message: &Message<T>) -> Vec<Result<String, String>> {
        let texts = (0..message.len()).filter_map(|number| message.chunk(number));
        texts.map(|text| text.map(Cow::into_owned).map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn a_message_is_its_command_and_its_chunks_and_other_keys_are_let_go() {
        let text = r#"{"later": [{"x": null}], "set_data_command": "global x", "payload": {}, "chunks": [ "[{\"id\":1}]" , "é\u00e9"]}"#;
        let message = Message::read(text).expect("a message");
        assert_eq!(message.command(), "global x");
        assert_eq!(chunks(&message), [Ok(r#"[{"id":1}]"#.to_owned()), Ok("éé".to_owned())]);
        assert!(message.chunk(2).is_none());
        assert!(Message::read(r#"{"set_data_command": "x", "chunks": []}"#).expect("a message").is_empty());
    }

    #[test]
    fn what_is_no_message_is_refused_with_a_reason() {
        assert!(why("").contains("EOF while parsing"));
        assert!(why("[]").contains("expected an object with set_data_command and chunks"));
        assert!(why(r#"{"chunks": []}"#).contains("missing field `set_data_command`"));
        assert!(why(r#"{"set_data_command": "x"}"#).contains("missing field `chunks`"));
        assert!(why(r#"{"set_data_command": "x", "chunks": {}}"#).contains("expected an array of texts"));
        assert!(why(r#"{"set_data_command": "x", "chunks": ["x]}"#).contains("EOF while parsing"));
        assert!(why(r#"{"set_data_command": "x", "chunks": []} x"#).contains("trailing characters"));
        assert!(Message::read(b"{\"set_data_command\": \"\xff\", \"chunks\": []}").is_err());
        assert!(Message::read(b"{\"set_data_command\": \"x\", \"chunks\": [\"\xff\"]}").is_err());
    }

    #[test]
    fn a_bad_chunk_costs_no_other() {
        let large = "x".repeat(CHUNK_BYTES + 1);
        let longer = "x".repeat(ESCAPED_BYTES);
        let most = "x".repeat(CHUNK_BYTES);
        let text = format!(
            r#"{{"set_data_command": "x", "chunks": ["{large}", 1, null, ["[]"], "\ud800", "{longer}", "{most}", "[]"]}}"#
        );
        let found = chunks(&Message::read(text).expect("a message"));
        assert_eq!(found.len(), 8);
        assert!(found[0].as_ref().is_err_and(|why| why.contains("65537 bytes are over the limit of 65536")));
        assert!(found[1..4].iter().all(|one| one.as_ref().is_err_and(|why| why.contains("expected a string"))));
        assert!(found[4].as_ref().is_err_and(|why| why.contains("a chunk cannot be read")));
        assert!(found[5].as_ref().is_err_and(|why| why.contains("over the limit of 65536")));
        assert_eq!(found[6..], [Ok(most), Ok("[]".to_owned())]);
    }

    #[test]
    fn more_than_any_peer_sends_is_refused_before_it_costs_memory() {
        let many = format!(r#"{{"set_data_command": "x", "chunks": [{}""]}}"#, r#""","#.repeat(MOST_CHUNKS));
        assert!(why(&many).contains("more than 65536 chunks"));
        let deep = format!(r#"{{"payload": {}"#, "[".repeat(100_000));
        assert!(why(&deep).contains("EOF while parsing"));
    }
}
