//! A message of agents (specification 5.7, 5.8): its command and its chunks, out of one JSON text.
//!
//! An old peer's message may be tens of megabytes; here it is split while the interpreter goes on.
//! What a chunk says is not looked at, and of the other keys nothing is kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{Error, Result};

const MOST_CHUNKS: usize = 65_536;
/// What fits into one request to a wazuh-db (6.3): a larger chunk could be kept by no old node.
const CHUNK_BYTES: usize = 65_536;

/// A message, split.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What the receiver's database is asked to do.
    pub command: String,
    /// JSON texts, in their order.
    pub chunks: Vec<String>,
}

impl Message {
    /// Splits `text`.
    ///
    /// # Errors
    ///
    /// [`Error::BadData`] if it is no such message, or holds more than any peer sends.
    pub fn split(text: &[u8]) -> Result<Self> {
        let refused = |error: serde_json::Error| Error::BadData { what: "the message", why: error.to_string() };
        let mut json = serde_json::Deserializer::from_slice(text);
        let message = json.deserialize_map(Keys).map_err(refused)?;
        json.end().map_err(refused)?;
        Ok(message)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Message;

    fn expecting(&self, text: &mut fmt::Formatter) -> fmt::Result {
        text.write_str("an object with set_data_command and chunks")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
        let (mut command, mut chunks) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "set_data_command" => command = Some(map.next_value()?),
                "chunks" => chunks = Some(map.next_value_seed(Chunks)?),
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        let command = command.ok_or_else(|| A::Error::missing_field("set_data_command"))?;
        let chunks = chunks.ok_or_else(|| A::Error::missing_field("chunks"))?;
        Ok(Message { command, chunks })
    }
}

/// Reads the chunks one by one, so that too many are refused before they cost memory.
struct Chunks;

impl<'de> DeserializeSeed<'de> for Chunks {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<String>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Chunks {
    type Value = Vec<String>;

    fn expecting(&self, text: &mut fmt::Formatter) -> fmt::Result {
        text.write_str("an array of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<String>, A::Error> {
        let mut chunks: Vec<String> = Vec::new();
        while let Some(chunk) = array.next_element::<String>()? {
            if chunk.len() > CHUNK_BYTES {
                return Err(A::Error::custom(format_args!("a chunk is over the limit of {CHUNK_BYTES} bytes")));
            }
            if chunks.len() == MOST_CHUNKS {
                return Err(A::Error::custom(format_args!("it holds more than {MOST_CHUNKS} chunks")));
            }
            chunks.push(chunk);
        }
        Ok(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        Message::split(text.as_bytes()).expect_err("it is no message").to_string()
    }

    #[test]
    fn a_message_is_its_command_and_its_chunks_and_other_keys_are_let_go() {
        let text = r#"{"later": [{"x": null}], "set_data_command": "global x", "payload": {}, "chunks": ["[{\"id\":1}]", "é\u00e9"]}"#;
        let message = Message::split(text.as_bytes()).expect("a message");
        assert_eq!(message.command, "global x");
        assert_eq!(message.chunks, [r#"[{"id":1}]"#, "éé"]);
    }

    #[test]
    fn what_is_no_message_is_refused_with_a_reason() {
        assert!(why("").contains("EOF while parsing"));
        assert!(why("[]").contains("expected an object with set_data_command and chunks"));
        assert!(why(r#"{"chunks": []}"#).contains("missing field `set_data_command`"));
        assert!(why(r#"{"set_data_command": "x"}"#).contains("missing field `chunks`"));
        assert!(why(r#"{"set_data_command": "x", "chunks": [1]}"#).contains("expected a string"));
        assert!(why(r#"{"set_data_command": "x", "chunks": []} x"#).contains("trailing characters"));
        assert!(Message::split(b"{\"set_data_command\": \"\xff\", \"chunks\": []}").is_err());
    }

    #[test]
    fn more_than_any_peer_sends_is_refused_before_it_costs_memory() {
        let many = format!(r#"{{"set_data_command": "x", "chunks": [{}""]}}"#, r#""","#.repeat(MOST_CHUNKS));
        assert!(why(&many).contains("more than 65536 chunks"));
        let large = format!(r#"{{"set_data_command": "x", "chunks": ["{}"]}}"#, "x".repeat(CHUNK_BYTES + 1));
        assert!(why(&large).contains("a chunk is over the limit"));
        let deep = format!(r#"{{"payload": {}"#, "[".repeat(100_000));
        assert!(why(&deep).contains("EOF while parsing"));
    }
}
