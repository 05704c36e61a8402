//! Unsigned LEB128 numbers of at most 64 bits.

use std::io::{self, Read, Write};

pub(crate) fn write(mut number: u64, out: &mut impl Write) -> io::Result<()> {
    while number >= 0x80 {
        out.write_all(&[(number & 0x7f) as u8 | 0x80])?;
        number >>= 7;
    }
    out.write_all(&[u8::try_from(number).unwrap_or(0)])
}

pub(crate) fn read(from: &mut impl Read) -> io::Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        let bits = u64::from(byte[0] & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte[0] < 0x80 {
            return Ok(number);
        }
    }
    Err(io::Error::other("a number has more than 64 bits"))
}

/// Appends exactly `size` bytes that are there, whatever `size` says (threat 7); `most` bounds it.
pub(crate) fn append(from: &mut impl Read, size: u64, most: usize, out: &mut Vec<u8>) -> io::Result<()> {
    if size > most as u64 {
        return Err(io::Error::other(format!("a text of {size} bytes is longer than {most}")));
    }
    match from.take(size).read_to_end(out)? as u64 {
        read if read == size => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_07_numbers_keep_their_value_and_what_is_too_long_is_refused() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            write(number, &mut bytes).unwrap();
            assert_eq!(read(&mut bytes.as_slice()).unwrap(), number);
            assert!(read(&mut &bytes[..bytes.len() - 1]).is_err());
        }
        assert!(read(&mut [0xff; 11].as_slice()).is_err());
        assert!(append(&mut b"ab".as_slice(), u64::MAX, 4096, &mut Vec::new()).is_err());
        assert!(append(&mut b"ab".as_slice(), 3, 4096, &mut Vec::new()).is_err());
    }
}
