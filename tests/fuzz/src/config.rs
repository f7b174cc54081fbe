//! Configuration texts.

use muxcool::config::{self, ConfigError};

/// What messages call the text.
const NAME: &str = "fuzz.json";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match (config::parse(NAME, text), config::parse(NAME, text)) {
        (Ok(plan), Ok(again)) => assert_eq!(format!("{plan:?}"), format!("{again:?}")),
        (Err(error), Err(again)) => {
            assert_eq!(error.to_string(), again.to_string());
            is_one_line(&error, text);
        }
        _ => panic!("accepted and refused"),
    }
}

/// It says where in the text, in one line that a terminal can show.
fn is_one_line(error: &ConfigError, text: &str) {
    let message = error.to_string();
    assert!(message.starts_with(NAME), "{message:?}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    if let Some(place) = error.place() {
        let line = text.split('\n').nth(place.line - 1);
        let line = line.unwrap_or_else(|| panic!("no line {}: {message}", place.line));
        let most = line.chars().count() + 1;
        assert!((1..=most).contains(&place.column), "{message}");
    }
}
