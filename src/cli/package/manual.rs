//! The manual, from the definition of the command line.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

/// One page.
pub(super) struct Page {
    /// As `man` looks for it.
    pub(super) file_name: String,
    /// For troff.
    pub(super) text: Vec<u8>,
}

/// A page for each command.
pub(super) fn pages(mut root: Command) -> Vec<Page> {
    root.build();
    with_descendants(&root).into_iter().map(page).collect()
}

/// One page with the parts of all commands.
pub(super) fn whole(mut root: Command) -> Vec<u8> {
    root.build();
    let mut text = page(&root).text;
    for command in with_descendants(&root).into_iter().skip(1) {
        text.extend(part(command));
    }
    text
}

fn with_descendants(command: &Command) -> Vec<&Command> {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    [command]
        .into_iter()
        .chain(shown.flat_map(with_descendants))
        .collect()
}

fn page(command: &Command) -> Page {
    let man = man(command);
    let text = written(|text| {
        man.render_title(text)?;
        man.render_name_section(text)?;
        write_body(&man, command, text)
    });
    Page {
        file_name: man.get_filename(),
        text,
    }
}

fn man(command: &Command) -> Man {
    let version = concat!("muxcool ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone())
        .source(version)
        .manual("Muxcool Manual")
}

/// What a command has in the page of all: a section, whose sections are its
/// subsections.
fn part(command: &Command) -> Vec<u8> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let body = written(|text| write_body(&man(command), command, text));
    let body = String::from_utf8_lossy(&body).replace("\n.SH ", "\n.SS ");
    let heading = format!(".SH \"{}\"\n", name.to_uppercase().replace('-', "\\-"));
    [heading.as_bytes(), body.as_bytes()].concat()
}

fn write_body(man: &Man, command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(text)?;
    }
    match command.get_after_help() {
        Some(examples) => write_examples(&examples.to_string(), text),
        None => Ok(()),
    }
}

/// Line by line as they stand, which the library's own rendering does not
/// leave them.
fn write_examples(examples: &str, text: &mut Vec<u8>) -> io::Result<()> {
    writeln!(text, ".SH EXAMPLES\n.nf")?;
    let is_heading = |line: &&str| matches!(*line, "Example:" | "Examples:");
    for line in examples.lines().skip_while(is_heading) {
        writeln!(text, "{}", literal(line))?;
    }
    writeln!(text, ".fi")
}

/// A line in which troff sees nothing to obey.
fn literal(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    match escaped.starts_with(['.', '\'']) {
        true => format!("\\&{escaped}"),
        false => escaped,
    }
}

/// Writing into memory does not fail.
fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Vec<u8> {
    let mut text = Vec::new();
    let _ = write(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_an_example_is_a_request() {
        let lines = [
            (".SH a", "\\&.SH a"),
            ("'a", "\\&'a"),
            ("a\\fB-b", "a\\efB\\-b"),
            ("  a.b", "  a.b"),
        ];
        for (line, expected) in lines {
            assert_eq!(literal(line), expected);
        }
    }

    #[test]
    fn hidden_commands_have_no_page() {
        let sub = |name: &'static str| Command::new(name).about("x");
        let root = Command::new("a")
            .disable_help_subcommand(true)
            .subcommand(sub("b").subcommand(sub("c")))
            .subcommand(sub("d").hide(true));
        let names: Vec<_> = pages(root).into_iter().map(|page| page.file_name).collect();
        assert_eq!(names, ["a.1", "a-b.1", "a-b-c.1"]);
    }
}
