//! File systems on which others may change files without this kernel knowing.

use std::os::fd::OwnedFd;

use rustix::fs::fstatfs;

/// Numbers of `statfs(2)`: those of systems that are shared over a network, or may be (FUSE).
const REMOTE: [(u32, &str); 14] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
];

/// The name of the file system of an open folder, if it is one of those.
pub(super) fn remote(folder: &OwnedFd) -> Option<&'static str> {
    named(fstatfs(folder).ok()?.f_type)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the kernel's numbers have 32 bits")]
fn named(number: i64) -> Option<&'static str> {
    REMOTE.iter().find(|(known, _)| *known == number as u32).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_file_systems_are_told_from_local_ones() {
        assert_eq!(named(0x6969), Some("NFS"));
        assert_eq!(named(i64::from(0xff53_4d42_u32.cast_signed())), Some("CIFS"), "the number came with its sign");
        assert_eq!([0xef53, 0x0102_1994, 0x794c_7630].map(named), [None; 3], "ext4, tmpfs and overlayfs are local");
    }
}
