//! The order in which people count: `a2` before `a10`.

use std::cmp::Ordering;

/// Compares texts, runs of digits as numbers.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (a_digits, b_digits) = (digits(a_rest), digits(b_rest));
        if !a_digits.is_empty() && !b_digits.is_empty() {
            let (a_number, b_number) = (a_digits.trim_start_matches('0'), b_digits.trim_start_matches('0'));
            let order = a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number));
            if order != Ordering::Equal {
                return order;
            }
            a_rest = &a_rest[a_digits.len()..];
            b_rest = &b_rest[b_digits.len()..];
            continue;
        }
        match (a_rest.chars().next(), b_rest.chars().next()) {
            (Some(x), Some(y)) if x == y => {
                a_rest = &a_rest[x.len_utf8()..];
                b_rest = &b_rest[y.len_utf8()..];
            }
            (None, None) => return a.cmp(b),
            (x, y) => return x.cmp(&y),
        }
    }
}

fn digits(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn numbers_count() {
        let mut names = ["a10", "a2", "b", "a", "a02x"];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(names, ["a", "a2", "a02x", "a10", "b"]);
    }
}
