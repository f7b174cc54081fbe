use std::ffi::OsString;

/// Options whose next argument is their value, whatever it looks like.
const WITH_VALUE: [&str; 6] = ["-c", "--c", "--config", "--confdir", "--port", "--pid"];

/// Turns V2Ray's spellings into ours: `-config FILE` and `-confdir DIR` get
/// their second dash, `-test` becomes the command `test`, `-version` and
/// `-help` the options of that name, whatever else is there.
///
/// Go's flags, which V2Ray uses, take one dash or two and `-option=value`.
pub(super) fn rewrite(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_else(|| "muxcool".into());
    let mut options = Options::default();
    options.read(args);
    [program].into_iter().chain(options.finish()).collect()
}

#[derive(Default)]
struct Options {
    kept: Vec<OsString>,
    test: bool,
    version: bool,
}

impl Options {
    fn read(&mut self, mut args: impl Iterator<Item = OsString>) {
        while let Some(arg) = args.next() {
            if arg == "--" {
                self.kept.push(arg);
                self.kept.extend(args);
                return;
            }
            if self.take(arg) {
                self.kept.extend(args.next());
            }
        }
    }

    /// Returns whether the next argument belongs to this one.
    fn take(&mut self, arg: OsString) -> bool {
        match arg.to_str() {
            Some("-test" | "--test") => self.test = true,
            Some("-version") => self.version = true,
            _ => {
                let arg = with_our_dashes(arg);
                let has_value_next = WITH_VALUE.iter().any(|option| arg == *option);
                self.kept.push(arg);
                return has_value_next;
            }
        }
        false
    }

    fn finish(mut self) -> Vec<OsString> {
        if self.version {
            return vec!["--version".into()];
        }
        if self.test {
            // Xray has "run -test".
            if self.kept.first().is_some_and(|arg| arg == "run") {
                self.kept.remove(0);
            }
            self.kept.insert(0, "test".into());
        }
        self.kept
    }
}

fn with_our_dashes(arg: OsString) -> OsString {
    let ours = arg.to_str().and_then(|text| {
        let (name, value) = match text.split_once('=') {
            Some((name, _)) => (name, &text[name.len()..]),
            None => (text, ""),
        };
        let name = match name {
            "-config" | "--c" => "--config",
            "-confdir" => "--confdir",
            "-help" => "--help",
            _ => return None,
        };
        Some(format!("{name}{value}").into())
    });
    ours.unwrap_or(arg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_familys_spellings_become_ours() {
        let table: [(&[&str], &[&str]); 19] = [
            (&[], &[]),
            (&["-config", "a.json"], &["--config", "a.json"]),
            (&["-config=a=b.json"], &["--config=a=b.json"]),
            (&["--c", "a.json"], &["--config", "a.json"]),
            (&["-c", "a.json"], &["-c", "a.json"]),
            (
                &["run", "-config", "a", "-confdir", "b"],
                &["run", "--config", "a", "--confdir", "b"],
            ),
            (&["-confdir=b"], &["--confdir=b"]),
            (&["-test"], &["test"]),
            (&["--test", "-c", "a"], &["test", "-c", "a"]),
            (&["-config", "a", "-test"], &["test", "--config", "a"]),
            (&["run", "-test", "-c", "a"], &["test", "-c", "a"]),
            (&["-version"], &["--version"]),
            (&["-config", "a", "-version"], &["--version"]),
            (&["-help"], &["--help"]),
            (&["demo", "--port", "1"], &["demo", "--port", "1"]),
            (&["-c", "-test"], &["-c", "-test"]),
            (&["-config", "-version"], &["--config", "-version"]),
            (&["--", "-config", "-test"], &["--", "-config", "-test"]),
            (&["-configure", "-v"], &["-configure", "-v"]),
        ];
        for (given, expected) in table {
            let with_program = |args: &[&str]| -> Vec<OsString> {
                let program = ["muxcool"].iter();
                program.chain(args).map(OsString::from).collect()
            };
            assert_eq!(rewrite(with_program(given)), with_program(expected));
        }
    }

    #[test]
    fn no_arguments_at_all_are_no_reason_to_fail() {
        assert_eq!(rewrite([]), ["muxcool"]);
    }
}
