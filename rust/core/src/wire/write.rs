//! Manifest and plan to JSON.

use std::fmt;
use std::io::{self, Write};

use crate::{Entry, Manifest, Plan};

impl Manifest {
    /// Writes a node's own metadata; `home` is where its tree lies.
    ///
    /// A file with `.merged` in its name is marked as the original's scan marks it, `merge_name` with
    /// the path on this machine included.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_wire(&self, out: &mut impl Write, home: &str) -> io::Result<()> {
        write_group(out, self.entries(), Some(home))
    }
}

impl Plan {
    /// Writes the three groups, as a master sends them.
    ///
    /// `merged` is false for every file: a 4.9.2 worker takes a file marked merged for a container of
    /// many and writes nothing, so it would be sent again in every round for ever (specification 4.6,
    /// 7.3 row 23). A file is a file, whatever its name.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_wire(&self, out: &mut impl Write) -> io::Result<()> {
        let groups =
            [("{\"missing\": ", &self.missing), (", \"extra\": ", &self.extra), (", \"shared\": ", &self.shared)];
        for (opening, group) in groups {
            out.write_all(opening.as_bytes())?;
            write_group(out, group, None)?;
        }
        out.write_all(b"}")
    }
}

/// One object, path to entry. With a `home` the names say which files are merged, without it none is.
fn write_group(out: &mut impl Write, entries: &[Entry], home: Option<&str>) -> io::Result<()> {
    out.write_all(b"{")?;
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.write_all(b", ")?;
        }
        write_text(out, &[entry.path.as_str()])?;
        write!(out, ": {{\"mod_time\": {}, \"cluster_item_key\": ", PythonFloat(entry.mod_time))?;
        write_text(out, &[&entry.rule])?;
        match home.filter(|_| entry.path.name().contains(".merged")) {
            None => out.write_all(b", \"merged\": false")?,
            Some(home) => {
                out.write_all(b", \"merged\": true, \"merge_type\": \"TYPE\", \"merge_name\": ")?;
                write_text(out, &[home.trim_end_matches('/'), "/", entry.path.as_str()])?;
            }
        }
        write!(out, ", \"hash\": \"{}\"}}", entry.digest)?;
    }
    out.write_all(b"}")
}

/// A JSON string of these pieces, as Python's `json` escapes it.
fn write_text(out: &mut impl Write, pieces: &[&str]) -> io::Result<()> {
    out.write_all(b"\"")?;
    for piece in pieces {
        let plain = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        if piece.chars().all(plain) {
            out.write_all(piece.as_bytes())?;
        } else {
            piece.chars().try_for_each(|c| write_char(out, c))?;
        }
    }
    out.write_all(b"\"")
}

fn write_char(out: &mut impl Write, c: char) -> io::Result<()> {
    match c {
        '"' => out.write_all(b"\\\""),
        '\\' => out.write_all(b"\\\\"),
        '\n' => out.write_all(b"\\n"),
        '\r' => out.write_all(b"\\r"),
        '\t' => out.write_all(b"\\t"),
        '\u{8}' => out.write_all(b"\\b"),
        '\u{c}' => out.write_all(b"\\f"),
        ' '..='~' => write!(out, "{c}"),
        _ => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}")),
    }
}

/// A float as Python's `repr` prints it: `1700000000.0`, `1e+16`, `1e-05`.
struct PythonFloat(f64);

impl fmt::Display for PythonFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rust's Debug has the same shortest digits and the same borders of the exponent form.
        let text = format!("{:?}", self.0);
        match text.split_once('e') {
            None => f.write_str(&text),
            Some((digits, exponent)) => match exponent.strip_prefix('-') {
                Some(exponent) => write!(f, "{digits}e-{exponent:0>2}"),
                None => write!(f, "{digits}e+{exponent:0>2}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, RelPath};

    fn entry(path: &str, mod_time: f64) -> Entry {
        Entry { path: RelPath::new(path).unwrap(), digest: Digest::of(b""), mod_time, rule: "etc/lists/".into() }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_print_as_python_prints_them() {
        for (value, expected) in [
            (1_700_000_000.0, "1700000000.0"),
            (1_795_468_875.251_658_7, "1795468875.2516587"),
            (0.0, "0.0"),
            (-1.5, "-1.5"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
        ] {
            assert_eq!(PythonFloat(value).to_string(), expected);
        }
    }

    #[test]
    fn text_is_escaped_as_python_escapes_it() {
        let odd = "a\"\n\r\t\u{8}\u{c}\u{1}\u{7f}\u{e9}\u{1f600}~";
        let expected = r#""a\"\n\r\t\b\f\u0001\u007f\u00e9\ud83d\ude00~""#;
        assert_eq!(text(|out| write_text(out, &[odd])), expected);
        assert_eq!(text(|out| write_text(out, &["a\\b"])), r#""a\\b""#);
    }

    #[test]
    fn only_a_nodes_own_metadata_marks_merged_names() {
        let hash = Digest::of(b"");
        let own = Manifest::from(vec![entry("etc/lists/a.merged", 1.0)]);
        assert_eq!(
            text(|out| own.write_wire(out, "/home/x/")),
            format!(
                "{{\"etc/lists/a.merged\": {{\"mod_time\": 1.0, \"cluster_item_key\": \"etc/lists/\", \"merged\": true, \
                 \"merge_type\": \"TYPE\", \"merge_name\": \"/home/x/etc/lists/a.merged\", \"hash\": \"{hash}\"}}}}"
            )
        );
        let plan = Plan { missing: own.entries().to_vec(), ..Plan::default() };
        assert_eq!(
            text(|out| plan.write_wire(out)),
            format!(
                "{{\"missing\": {{\"etc/lists/a.merged\": {{\"mod_time\": 1.0, \"cluster_item_key\": \"etc/lists/\", \
                 \"merged\": false, \"hash\": \"{hash}\"}}}}, \"extra\": {{}}, \"shared\": {{}}}}"
            )
        );
    }
}
