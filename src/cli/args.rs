use std::env::consts::{ARCH, OS};
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};

use super::doctor::TestArgs;
use super::explain::ExplainArgs;
use super::oneline::args::{BridgeArgs, ForwardCommand, PortalArgs};
use super::package::args::{CompletionsArgs, ManArgs, UnitArgs};

/// Name, version, target and features of this program, on one line.
pub(super) static VERSION_LINE: LazyLock<String> =
    LazyLock::new(|| format!("{} {}", env!("CARGO_PKG_NAME"), *VERSION));

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    let commit = COMMIT.map_or(String::new(), |commit| format!("commit {commit}; "));
    format!("{version} ({commit}{ARCH}-{OS}; features: {FEATURES})")
});

/// From the environment of the build: a package has no repository to ask.
const COMMIT: Option<&str> = option_env!("MUXCOOL_COMMIT");

/// The program is not built without it.
const FEATURES: &str = "cli";

/// Many connections over one (Mux.Cool), and reverse tunnels on it
///
/// Reads the JSON configuration of V2Ray 4, whose spellings -config FILE,
/// -confdir DIR, -test and -version are accepted too.
#[derive(Debug, Parser)]
#[command(name = "muxcool", version = VERSION.as_str())]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:
  muxcool demo                 see a reverse tunnel work
  muxcool portal --listen 8443 --host portal.example.com --publish 8080=web
                               make one, here; prints the command for the other machine
  muxcool test -c portal.json  tell all that is wrong with a configuration
  muxcool -c portal.json       run it; the same as muxcool run
  muxcool run --help           more about a command

Exit codes: 0 done, or ended when told to; 1 failed; 2 wrong usage; 23 bad
configuration.")]
pub(super) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sources: SourceArgs,
}

impl Cli {
    /// The command that was given, or else `run`.
    pub(super) fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.sources))
    }
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(super) enum Command {
    /// Run a configuration until Ctrl-C or SIGTERM (the default command)
    #[command(after_help = "Examples:
  muxcool run -c bridge.json
  muxcool run -c base.json -c more.json      later files override earlier ones
  muxcool run -c stdin: < bridge.json

The log's level is that of the configuration; RUST_LOG=debug overrides it.
SIGHUP, or \"muxcool reload\", puts in force what has changed in the files. A
program that was started in a terminal ends with it.

Exit codes: 0 when told to end, 1 if it cannot go on (a port that is taken), 23 if
the configuration is wrong, so that a service is not started again and again.")]
    Run(SourceArgs),

    /// Tell a running muxcool to read its configuration again
    ///
    /// What has changed is put in force; every connection of what has not goes
    /// on. If something is wrong, everything stays as it is. SIGHUP does the
    /// same, and tells the log alone.
    #[command(after_help = "Examples:
  muxcool reload                     the only one that runs
  muxcool reload --pid 1234          that one
  kill -HUP 1234                     the same without an answer

Prints what has changed, or what is wrong and where; then the exit code is 23, and
1 if none is running. Log files are opened anew, for logrotate.")]
    Reload(TargetArgs),

    /// Check a configuration without running it
    #[command(after_help = "Examples:
  muxcool test -c bridge.json && systemctl restart muxcool
  muxcool test -c bridge.json --json | jq '.errors[].line'

Prints \"Configuration OK.\", or everything that is wrong and where; then the exit
code is 23. Warnings are of what is allowed but probably not meant; they leave the
exit code at 0.")]
    #[command(visible_alias = "doctor")]
    Test(TestArgs),

    /// Tell which rule of a configuration decides on a connection, and why
    #[command(after_help = "Examples:
  muxcool explain -c portal.json --from visitors --to tcp:example.com:443
  muxcool explain -c portal.json --from visitors --to udp:192.0.2.1:53 --source 198.51.100.7
  muxcool explain -c bridge.json --from bridge --to tcp:127.0.0.1:80

Nothing is connected. Names are resolved only where the rules, or bounds on what
may be dialled, ask for it. Which outbound of several a balancer picks depends on
the running program: all that it may pick are listed. Exit code 2 if no inbound or
bridge has that tag.")]
    Explain(ExplainArgs),

    /// Show how a running muxcool does: carriers, their streams, and connections
    #[command(after_help = "Examples:
  muxcool status               the only one of this user, or a list of them
  muxcool status --watch       the same every second, with what flows; Ctrl-C ends it
  muxcool status --json | jq '.services[].carriers[].state'
  muxcool status --pid 4242 --streams 100

Exit code 1 if none is running.")]
    Status(StatusArgs),

    /// Show a reverse tunnel at work, on this machine and without configuration
    #[command(after_help = "Examples:
  muxcool demo                 open the printed address; Ctrl-C ends it
  muxcool demo --check         fetch through the tunnel once, compare, report; the
                               exit code is 1 if that fails")]
    Demo(DemoArgs),

    /// Take visitors in for services elsewhere, and print the command for there
    #[command(after_help = "Examples:
  muxcool portal --listen 8443 --host portal.example.com --publish 8080=web
  muxcool portal --listen 0.0.0.0:8443 --publish 8080=web --publish 2222=ssh --publish-udp 5353=dns

Bridges come in by TLS, with an id; the printed token has the id and the pin of the
certificate. It stays the same when the portal is started anew. Only --listen has
to be reachable for bridges, and the published ports for visitors.")]
    Portal(PortalArgs),

    /// Bring services here to the visitors of a portal
    #[command(after_help = "Examples:
  muxcool bridge TOKEN --serve web=127.0.0.1:80 --serve ssh=22
  muxcool bridge TOKEN@portal.example.com --serve web=80 --standby
  muxcool bridge --token-file /etc/muxcool/tokens --serve db=db.internal:5432

Visitors get to what is served, and to nothing else. Of several bridges that
serve one name the least loaded is taken. With several tokens one bridge serves
several portals. SIGHUP, or \"muxcool reload\", has files of tokens read again.")]
    Bridge(BridgeArgs),

    /// Reach from here what another machine reaches
    #[command(subcommand)]
    #[command(after_help = "Examples:
  muxcool forward serve --listen 8443 --host gate.example.com     on that machine
  muxcool forward dial TOKEN --socks 1080                         on this one

All connections share one, which is encrypted.")]
    Forward(ForwardCommand),

    /// Print a new UUID (version 4), such as VLESS users have
    #[command(after_help = "Examples:
  muxcool uuid
  muxcool uuid -i example      for configurations in which Xray has ids like that")]
    Uuid(UuidArgs),

    /// Certificates for TLS
    #[command(subcommand)]
    #[command(after_help = "Example:
  muxcool tls cert --domain portal.example.com --file portal")]
    Tls(TlsCommand),

    /// Print a script by which a shell completes our commands and options
    #[command(after_help = "Examples:
  muxcool completions bash > ~/.local/share/bash-completion/completions/muxcool
  muxcool completions zsh > ~/.zfunc/_muxcool
  muxcool completions fish > ~/.config/fish/completions/muxcool.fish")]
    Completions(CompletionsArgs),

    /// Print the manual, for man
    #[command(after_help = "Examples:
  muxcool man | man -l -
  muxcool man --dir /usr/local/share/man/man1")]
    Man(ManArgs),

    /// Print a systemd unit, for a service that runs a configuration
    #[command(after_help = "Examples:
  muxcool unit > /etc/systemd/system/muxcool.service && systemctl enable --now muxcool
  muxcool unit --config /etc/muxcool/bridge.json --group muxcool-files
  muxcool unit --name web -- bridge --token-file /etc/muxcool/tokens --serve web=80

The service can write to its own directories only, and sees no home directory.")]
    Unit(UnitArgs),

    /// Print the version, the target and the features
    #[command(after_help = "Example:
  muxcool version")]
    Version,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(super) enum TlsCommand {
    /// Write a self-signed certificate and its key, and print the pin
    #[command(after_help = "Example:
  muxcool tls cert --domain portal.example.com --file portal

Writes portal.pem and portal.key, unless there are such files, and prints what
clients name in \"pinnedPeerCertificateChainSha256\". It never expires.")]
    Cert(CertArgs),
}

/// What certificate.
#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct CertArgs {
    /// Name or address that the server has; may be given several times
    #[arg(long = "domain", value_name = "NAME", required = true)]
    pub(super) domains: Vec<String>,

    /// Where to write, without .pem and .key; the first name if not given
    #[arg(long, value_name = "PREFIX")]
    pub(super) file: Option<String>,
}

/// Which id.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct UuidArgs {
    /// Print the id that Xray makes of this short text instead
    #[arg(short = 'i', long, value_name = "TEXT")]
    pub(super) input: Option<String>,
}

/// Where the configuration is.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct SourceArgs {
    /// Configuration file, or "stdin:"; may be given several times
    ///
    /// Without any file or directory: config.json in the working directory.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// Directory whose .json files are read after the named ones, by name
    #[arg(long = "confdir", value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}

/// Which of the programs that are running.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct TargetArgs {
    /// The number of its process, as "muxcool status" lists it
    #[arg(long, value_name = "N")]
    pub(super) pid: Option<u32>,

    /// Its control socket, if the configuration has put it elsewhere
    #[arg(long, value_name = "PATH", conflicts_with = "pid")]
    pub(super) socket: Option<PathBuf>,
}

/// What to show.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    /// Show it again every second, until Ctrl-C
    #[arg(long)]
    pub(super) watch: bool,

    /// Print JSON, on one line
    #[arg(long)]
    pub(super) json: bool,

    /// How many streams to show, those with the most bytes first
    ///
    /// And as many connections that go through no carrier. 20 if not given,
    /// with --json all.
    #[arg(long, value_name = "N")]
    pub(super) streams: Option<usize>,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct DemoArgs {
    /// Fetch the page through the tunnel, compare it, print figures, and end
    #[arg(long)]
    pub(super) check: bool,

    /// Port of the public address; 0 is any free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Command, clap::error::ErrorKind> {
        Cli::try_parse_from([&["muxcool"], args].concat())
            .map(Cli::into_command)
            .map_err(|e| e.kind())
    }

    fn files(names: &[&str]) -> SourceArgs {
        SourceArgs {
            files: names.iter().map(PathBuf::from).collect(),
            directory: None,
        }
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_command() {
        assert_eq!(parse(&[]), Ok(Command::Run(SourceArgs::default())));
        let both = ["-c", "a.json", "--config", "b.json"];
        let run = Ok(Command::Run(files(&["a.json", "b.json"])));
        assert_eq!(parse(&both), run);
        assert_eq!(parse(&[&["run"], &both[..]].concat()), run);
    }

    #[test]
    fn commands_take_their_own_arguments() {
        let demo = |check, port| Ok(Command::Demo(DemoArgs { check, port }));
        assert_eq!(parse(&["demo"]), demo(false, 0));
        assert_eq!(
            parse(&["demo", "--check", "--port", "8080"]),
            demo(true, 8080)
        );
        let confdir = SourceArgs {
            directory: Some("conf.d".into()),
            ..files(&["stdin:"])
        };
        let test = ["test", "--confdir", "conf.d", "-c", "stdin:"];
        let test_args = TestArgs {
            sources: confdir,
            json: false,
        };
        assert_eq!(parse(&test), Ok(Command::Test(test_args)));
        let status = StatusArgs {
            target: TargetArgs {
                pid: Some(7),
                socket: None,
            },
            json: true,
            ..StatusArgs::default()
        };
        let of_7 = ["status", "--json", "--pid", "7"];
        assert_eq!(parse(&of_7), Ok(Command::Status(status)));
        for wrong in [
            &["status", "--pid", "7", "--socket", "s"][..],
            &["demo", "--port", "65536"],
            &["uuid", "-c", "x"],
            &["reload", "-c", "x"],
            &["reload", "--pid", "x"],
            &["-c", "x", "run"],
            &["walk"],
            &["-c"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
