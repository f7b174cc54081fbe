//! Text that a peer chose, made safe to print.

use std::fmt::{self, Write};

use crate::limits::MAX_LOGGED_TEXT;

/// Prints bytes that a peer chose so that they can neither begin a line nor
/// command a terminal: whatever is not printable ASCII, and the backslash, as
/// `\xNN`. Shows [`MAX_LOGGED_TEXT`] bytes, and `...` if there are more.
///
/// ```
/// # use muxcool::escape::Escaped;
/// assert_eq!(Escaped(b"a\n\x1b[31m").to_string(), r"a\x0a\x1b[31m");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().take(MAX_LOGGED_TEXT);
        shown.copied().try_for_each(|byte| write_byte(f, byte))?;
        if self.0.len() > MAX_LOGGED_TEXT {
            f.write_str("...")?;
        }
        Ok(())
    }
}

fn write_byte(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    match byte {
        b'\\' | ..=0x1f | 0x7f.. => write!(f, "\\x{byte:02x}"),
        _ => f.write_char(char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn printable_ascii_stays_as_it_is() {
        let printable: String = (' '..='~').filter(|&c| c != '\\').collect();
        assert_eq!(Escaped(printable.as_bytes()).to_string(), printable);
    }

    #[test]
    fn a32_neither_lines_nor_terminal_commands_come_through() {
        let forged = b"x\r\n2026/01/02 [Warning] forged\x1b[31m\\n\x7f\xff";
        let shown = r"x\x0d\x0a2026/01/02 [Warning] forged\x1b[31m\x5cn\x7f\xff";
        assert_eq!(Escaped(forged).to_string(), shown);
    }

    #[test]
    fn long_text_is_cut() {
        let most = vec![b'a'; MAX_LOGGED_TEXT];
        assert_eq!(Escaped(&most).to_string().len(), MAX_LOGGED_TEXT);
        let more = [&most[..], b"b"].concat();
        let shown = Escaped(&more).to_string();
        assert!(shown.ends_with("a...") && shown.len() == MAX_LOGGED_TEXT + 3);
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_prints_as_short_printable_ascii(bytes: Vec<u8>) {
            let shown = Escaped(&bytes).to_string();
            prop_assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert!(shown.len() <= 4 * MAX_LOGGED_TEXT + 3);
        }
    }
}
