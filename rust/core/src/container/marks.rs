//! Where the container's marks occur in bytes.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{FILE_SEP, PATH_SEP};

static FILE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(FILE_SEP));
static PATH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PATH_SEP));

/// Start of the first `FILE_SEP`.
pub(super) fn find_file_sep(data: &[u8]) -> Option<usize> {
    FILE.find(data)
}

/// Start of the first `PATH_SEP`.
pub(super) fn find_path_sep(data: &[u8]) -> Option<usize> {
    PATH.find(data)
}

/// Start of the first mark of either kind.
pub(super) fn find_any(data: &[u8]) -> Option<usize> {
    // Only a PATH_SEP that begins before the FILE_SEP can be the first mark.
    let file = find_file_sep(data);
    let until = file.map_or(data.len(), |at| at + PATH_SEP.len() - 1);
    find_path_sep(&data[..until.min(data.len())]).into_iter().chain(file).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_28_no_path_can_hold_a_mark_or_make_one_with_its_neighbours() {
        // Both marks hold an empty component, and what overlaps a neighbour would have to hold it too.
        for mark in [FILE_SEP, PATH_SEP] {
            let mark = std::str::from_utf8(mark).unwrap();
            for bad in [format!("a{mark}b"), format!("a{}", &mark[..7]), mark[1..].to_owned()] {
                assert!(crate::RelPath::new(&bad).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn the_first_mark_of_either_kind_is_found() {
        let both = [b"..".as_slice(), PATH_SEP, FILE_SEP].concat();
        assert_eq!(find_any(&both), Some(2));
        let other = [b"...".as_slice(), FILE_SEP, PATH_SEP].concat();
        assert_eq!(find_any(&other), Some(3));
        assert_eq!(find_any(b"|//@@/|@@//@@"), None);
    }
}
