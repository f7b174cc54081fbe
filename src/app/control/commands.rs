use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

/// What somebody asks for: the members of the object, `command` among them.
pub type Request = Map<String, Value>;

/// What a command has to say: a value, such as a text; or a sentence that says
/// why it could not do what was asked.
pub type Answer = Result<Value, String>;

type Act = dyn Fn(&Request) -> Answer + Send + Sync;

/// The commands of a control socket, by name.
///
/// Each runs on a thread of whoever asks, perhaps several at a time.
///
/// ```
/// # use muxcool::app::control::Commands;
/// let commands = Commands::new().with("reload", |_request| Ok("nothing has changed".into()));
/// # assert!(format!("{commands:?}").contains("reload"));
/// ```
#[derive(Default)]
pub struct Commands(BTreeMap<&'static str, Box<Act>>);

impl Commands {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// These, and one more.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        act: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(name, Box::new(act));
        self
    }

    /// The answer to a line, as it is sent.
    pub(super) fn answer(&self, line: &[u8]) -> Value {
        match self.run(line) {
            Ok(value) => json!({ "ok": value }),
            Err(why) => json!({ "error": why }),
        }
    }

    fn run(&self, line: &[u8]) -> Answer {
        let request: Request =
            serde_json::from_slice(line).map_err(|e| format!("the request is no JSON: {e}"))?;
        let Some(Value::String(name)) = request.get("command") else {
            return Err("the request names no command".to_owned());
        };
        match self.0.get(name.as_str()) {
            Some(act) => act(&request),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.0.keys().copied().collect();
        format!("unknown command {name:?}; there are: {}", known.join(", "))
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gets_the_whole_request() {
        let commands = Commands::new().with("echo", |request| {
            let text = request.get("text").cloned();
            text.ok_or_else(|| "nothing to say".to_owned())
        });
        let table = [
            (r#"{"command":"echo","text":"a"}"#, json!({"ok": "a"})),
            (r#"{"command":"echo"}"#, json!({"error": "nothing to say"})),
            (r"{}", json!({"error": "the request names no command"})),
            (
                r#"{"command":"sing"}"#,
                json!({"error": "unknown command \"sing\"; there are: echo"}),
            ),
        ];
        for (line, answer) in table {
            assert_eq!(commands.answer(line.as_bytes()), answer, "{line}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = "[".repeat(10_000);
        for line in ["", "x", "[]", "1", "\u{0}", "{\"command\":", &deep] {
            let answer = Commands::new().answer(line.as_bytes());
            let error = answer.get("error").and_then(Value::as_str).unwrap();
            assert!(error.starts_with("the request is no JSON: "), "{error}");
        }
    }
}
