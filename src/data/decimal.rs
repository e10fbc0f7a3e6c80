//! Numbers as most tables write them, faster than the standard library's parser for all numbers.

/// Powers of ten that an f64 holds exactly, as far as they are used.
const TENS: [f64; 16] = {
    let mut tens = [1.0; 16];
    let mut i = 1;
    while i < tens.len() {
        tens[i] = tens[i - 1] * 10.0;
        i += 1;
    }
    tens
};

/// A sign or none, up to 15 digits, a point among or around them or none: as `cell.parse()`, bit for bit.
///
/// So many digits and such a power of ten are both exact, so their quotient is rounded once, as the number
/// itself is (Clinger: How to read floating point numbers accurately, 1990).
#[inline]
pub fn short(cell: &str) -> Option<f64> {
    let (negative, digits) = match cell.as_bytes().split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, cell.as_bytes()),
    };
    let (mut value, mut count, mut point) = (0u64, 0, None);
    if digits.len() > TENS.len() {
        return None;
    }
    for byte in digits {
        match byte {
            b'0'..=b'9' => (value, count) = (10 * value + u64::from(byte - b'0'), count + 1),
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    if count == 0 || count >= TENS.len() {
        return None;
    }
    let size = match point {
        Some(point) => value as f64 / TENS[count - point],
        None => value as f64,
    };
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn every_cell_is_what_the_standard_library_says() {
        let odd = [
            "",
            "-",
            ".",
            "-.",
            "+1",
            "1.",
            ".5",
            "-.5",
            "-0",
            "0",
            "00012",
            "1..2",
            "1.2.3",
            "1e5",
            "inf",
            "NaN",
            " 1",
            "1 ",
            "--1",
            "1-",
            "0x10",
            "١",
            "123456789012345",
            "1234567890123456",
            "-123456789012.345",
            "0.000000000000001",
            ".000000000000001",
            "9007199254740993",
            "0.1",
            "1,5",
        ];
        let stream = Stream::new(5, "decimal");
        let drawn = (0..20_000u64).map(|i| {
            let number = u64::from(stream.bits(0, i)) << 20 | u64::from(stream.bits(1, i)) >> 12;
            let digits = (number % 10u64.pow(1 + stream.bits(2, i) % 17)).to_string();
            let at = stream.bits(3, i) as usize % (2 * digits.len());
            let sign = if stream.bits(4, i).is_multiple_of(2) { "-" } else { "" };
            match digits.split_at_checked(at) {
                Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
                None => format!("{sign}{digits}"),
            }
        });
        for (cell, long) in [("12", false), ("-.5", false), ("1e5", true), ("1234567890123456", true)] {
            assert_eq!(short(cell).is_none(), long, "{cell}");
        }
        for cell in odd.into_iter().map(String::from).chain(drawn) {
            if let Some(ours) = short(&cell) {
                assert_eq!(Ok(ours.to_bits()), cell.parse().map(f64::to_bits), "{cell:?}");
            }
        }
    }
}
