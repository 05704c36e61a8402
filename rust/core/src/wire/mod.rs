//! The metadata JSON of specification 4.2, both ways, entry by entry.
//!
//! Written as the original writes it: `, ` and `: ` between values, everything outside printable
//! ASCII escaped, keys in the order of the table, floats as Python prints them. Read from any valid
//! JSON, in any order, with unknown keys ignored. Neither side ever holds the text or a tree of JSON
//! values, so 100,000 entries cost what the entries cost.

mod read;
mod write;

pub use read::Claim;
