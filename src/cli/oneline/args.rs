//! Arguments of the commands that need no configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::forms::{Allow, Listen, Local, Publish, Serve};

/// The end of a reverse tunnel that visitors come to.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct PortalArgs {
    /// Where bridges come in, encrypted; on all addresses if none is given
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    pub(super) listen: Listen,

    /// A port for the visitors of a service; may be given several times
    ///
    /// It is on the address of --listen, unless it has one of its own. NAME is what
    /// bridges give to --serve: small letters, digits and hyphens. This or
    /// --publish-udp is needed.
    #[arg(long, value_name = "[ADDRESS:]PORT=NAME")]
    pub(super) publish: Vec<Publish>,

    /// The same for datagrams (UDP)
    #[arg(long, value_name = "[ADDRESS:]PORT=NAME")]
    pub(super) publish_udp: Vec<Publish>,

    #[command(flatten)]
    pub(super) host: HostArgs,

    #[command(flatten)]
    pub(super) state: StateArgs,

    #[command(flatten)]
    pub(super) export: ExportArgs,
}

/// The end of reverse tunnels that stands beside the services.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct BridgeArgs {
    #[command(flatten)]
    pub(super) tokens: TokenArgs,

    /// Where a service is, on this machine if no host is given; may be given
    /// several times
    ///
    /// NAME is what the portal gives to --publish.
    #[arg(long, value_name = "NAME=[HOST:]PORT")]
    pub(super) serve: Vec<Serve>,

    /// Be used only while no other bridge is in good health
    #[arg(long)]
    pub(super) standby: bool,

    /// Visitors at once, of all services together, 1 to 5500; more are refused
    ///
    /// Without it the program's own bound holds, which is a little higher.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5_500))]
    pub(super) max_conns: Option<u16>,

    /// Tell the services each visitor's address in a PROXY header
    ///
    /// They must expect it, in this form: v1 is text, v2 binary. Datagrams have
    /// none.
    #[arg(long, value_name = "VERSION")]
    pub(super) proxy_protocol: Option<ProxyProtocol>,

    #[command(flatten)]
    pub(super) export: ExportArgs,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum ForwardCommand {
    /// Let whoever has the token get out here
    #[command(after_help = "Examples:
  muxcool forward serve --listen 0.0.0.0:8443 --host gate.example.com
  muxcool forward serve --listen 8443 --allow db.internal:5432 --allow 10.0.0.0/8:22

Prints the command for the other machine. A name is allowed as a name, and an
address as an address: what a name stands for is not looked up.")]
    Serve(ForwardServeArgs),

    /// Bring what the other machine reaches to local ports
    #[command(after_help = "Examples:
  muxcool forward dial TOKEN --socks 1080
  muxcool forward dial TOKEN --local 5432=db.internal:5432 --local-udp 5353=10.0.0.53:53
  MUXCOOL_TOKEN=... muxcool forward dial --socks 127.0.0.1:1080
  muxcool forward dial TOKEN1 TOKEN2 --socks 1080

Of several machines whose tokens are given each serves in its turn, and one that
cannot be reached is passed over.")]
    Dial(ForwardDialArgs),
}

/// The end of a forwarding from which connections go on.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ForwardServeArgs {
    /// Where the other machines come in, encrypted; on all addresses if none is
    /// given
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    pub(super) listen: Listen,

    /// What may be reached from here, and nothing else; may be given several times
    ///
    /// A host, a range of addresses, or nothing for all of them, and behind it a
    /// port or a range of ports: db.internal:5432, 10.0.0.0/8, [fd00::/8]:443 or
    /// :8000-8999. Without it everything may be reached.
    #[arg(long, value_name = "[HOST][:PORTS]")]
    pub(super) allow: Vec<Allow>,

    #[command(flatten)]
    pub(super) host: HostArgs,

    #[command(flatten)]
    pub(super) state: StateArgs,

    #[command(flatten)]
    pub(super) export: ExportArgs,
}

/// The end of a forwarding where connections begin.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ForwardDialArgs {
    #[command(flatten)]
    pub(super) tokens: TokenArgs,

    /// A SOCKS proxy here, on 127.0.0.1 if no address is given
    ///
    /// This, --local or --local-udp is needed.
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    pub(super) socks: Option<Listen>,

    /// A port here, on 127.0.0.1 if no address is given, that leads to one target;
    /// may be given several times
    #[arg(long, value_name = "[ADDRESS:]PORT=HOST:PORT")]
    pub(super) local: Vec<Local>,

    /// The same for datagrams (UDP)
    #[arg(long, value_name = "[ADDRESS:]PORT=HOST:PORT")]
    pub(super) local_udp: Vec<Local>,

    #[command(flatten)]
    pub(super) export: ExportArgs,
}

/// How the other machine finds this one.
#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct HostArgs {
    /// Name or address by which the other machine reaches this one
    ///
    /// The address of --listen if it has one. Several are tried in turn.
    #[arg(long = "host", value_name = "HOST")]
    pub(super) hosts: Vec<String>,
}

/// Where an identity is kept.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct StateArgs {
    /// File, or directory, for the id and the certificate
    ///
    /// With them the token stays the same when the program is started anew. By
    /// default a file in $STATE_DIRECTORY, or in muxcool/ of $XDG_STATE_HOME or
    /// ~/.local/state.
    #[arg(long, value_name = "PATH")]
    pub(super) state: Option<PathBuf>,

    /// Keep nothing: the token is another one at each start
    #[arg(long, conflicts_with = "state")]
    pub(super) ephemeral: bool,
}

/// Form of the header: text or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProxyProtocol {
    V1 = 1,
    V2 = 2,
}

/// Where tokens come from.
#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct TokenArgs {
    /// What the other machine printed, or TOKEN@HOST[:PORT] to dial that
    ///
    /// Everybody on this machine can see arguments: on a shared one use
    /// --token-file, or the environment variable MUXCOOL_TOKEN.
    #[arg(value_name = "TOKEN")]
    pub(super) tokens: Vec<String>,

    /// File with a token on each line
    #[arg(long = "token-file", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct ExportArgs {
    /// Print the configuration that does the same, and end
    #[arg(long)]
    pub(super) export: bool,
}
