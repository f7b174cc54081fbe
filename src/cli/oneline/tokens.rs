use std::env;
use std::fs;
use std::path::Path;

use super::args::TokenArgs;
use super::token::{Purpose, Token, TokenError};
use crate::cli::failure::Failure;

/// Where a token is looked for that is not given otherwise.
const VARIABLE: &str = "MUXCOOL_TOKEN";

/// All tokens that are given, at least one, each with a host.
pub(super) fn read(args: &TokenArgs, purpose: Purpose) -> Result<Vec<Token>, Failure> {
    let texts = texts(args)?;
    if texts.is_empty() {
        if let Some(path) = args.files.first() {
            return Err(Failure::Usage(format!("no token in {}", path.display())));
        }
        let what = format!(
            "no token: give the one that the other machine printed, or put it into {VARIABLE} or \
             a --token-file"
        );
        return Err(Failure::Usage(what));
    }
    let tokens = texts.iter().map(|text| token(text, purpose));
    let tokens: Vec<Token> = tokens.collect::<Result<_, _>>()?;
    check_places(&tokens)?;
    Ok(tokens)
}

/// One of two that lead to the same place is an old one.
fn check_places(tokens: &[Token]) -> Result<(), Failure> {
    for (index, token) in tokens.iter().enumerate() {
        let place = token.place();
        if tokens[..index].iter().any(|other| other.place() == place) {
            let what = format!("two tokens lead to {place}: one will do");
            return Err(Failure::Usage(what));
        }
    }
    Ok(())
}

fn texts(args: &TokenArgs) -> Result<Vec<String>, Failure> {
    let mut texts = args.tokens.clone();
    for path in &args.files {
        let text = fs::read_to_string(path);
        let unreadable = |e| Failure::Wrong(format!("--token-file {}: {e}", path.display()));
        let text = text.map_err(unreadable)?;
        let lines = text.lines().map(str::trim);
        let tokens = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        texts.extend(tokens.map(str::to_owned));
    }
    if texts.is_empty() {
        let given = env::var(VARIABLE).unwrap_or_default();
        texts.extend(given.split_ascii_whitespace().map(str::to_owned));
    }
    Ok(texts)
}

fn token(text: &str, purpose: Purpose) -> Result<Token, Failure> {
    let token: Token = text.parse().map_err(|e| no_token(text, e))?;
    if token.purpose != purpose {
        let command = match token.purpose {
            Purpose::Bridge => "muxcool bridge",
            Purpose::Forward => "muxcool forward dial",
        };
        return Err(Failure::Usage(format!("this token is for `{command}`")));
    }
    match token.hosts.is_empty() {
        true => Err(Failure::Usage(
            "the token does not say where to dial: write TOKEN@HOST, with the name or address of \
             the machine that printed it"
                .into(),
        )),
        false => Ok(token),
    }
}

/// Files are mostly called otherwise than tokens begin.
fn no_token(text: &str, e: TokenError) -> Failure {
    match Path::new(text).is_file() {
        true => Failure::Usage(format!(
            "{text:?} is a file: --token-file reads tokens from it"
        )),
        false => Failure::Usage(e.to_string()),
    }
}
