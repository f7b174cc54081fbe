//! `muxcool explain`: which rule decides, and why.

mod conditions;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value, json};

use self::conditions::shown;
use super::args::SourceArgs;
use super::commands::say;
use super::doctor::{load_diagnosed, say_in_colour};
use super::failure::Failure;
use crate::app::explain::{
    BalancerOptions, BalancerStrategy, Condition, Explanation, Judgement, Pass, Question, Verdict,
    Way, describe, explain, judge,
};
use crate::config::{Diagnosis, Plan};
use crate::net::{Address, Destination, Network};

/// What connection is asked about.
#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) sources: SourceArgs,

    /// Where it comes in: the tag of an inbound or of a bridge
    ///
    /// Left out, it comes in by an inbound without a tag.
    #[arg(long, value_name = "TAG")]
    pub(super) from: Option<String>,

    /// Where it wants to go, such as tcp:example.com:443 or udp:192.0.2.1:53
    #[arg(long, value_name = "NETWORK:HOST:PORT")]
    pub(super) to: Target,

    /// The visitor's address, for "source" and "sourcePort"
    #[arg(long, value_name = "IP[:PORT]")]
    pub(super) source: Option<Source>,

    /// The visitor's name, for "user"
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,

    /// What the visitor speaks, such as tls or http/1.1, for "protocol"
    #[arg(long, value_name = "NAME")]
    pub(super) protocol: Option<String>,

    /// Print the answer as JSON, on one line
    #[arg(long)]
    pub(super) json: bool,
}

/// A destination, as the log prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target(Destination);

/// Where somebody comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source(SocketAddr);

/// Prints which rule decides, and why.
pub(super) fn answer(args: &ExplainArgs) -> Result<(), Failure> {
    let (diagnosis, plan) = load_diagnosed(&args.sources)?;
    let inbound = known_inbound(&plan, args.from.as_deref().unwrap_or_default())?;
    let question = Question {
        target: args.to.0.clone(),
        inbound,
        source: args.source.map(|source| source.0),
        user: args.user.clone(),
        protocol: args.protocol.clone(),
    };
    let answer = Answer {
        explanation: explain(&plan, &question)?,
        question,
        plan: &plan,
        diagnosis: &diagnosis,
    };
    match args.json {
        true => say(answer.to_json()),
        false => say_in_colour(answer.to_string().trim_end()),
    }
}

fn known_inbound(plan: &Plan, tag: &str) -> Result<String, Failure> {
    let inbounds = plan.inbounds.iter().map(|inbound| &*inbound.tag);
    let bridges = plan.bridges.iter().map(|bridge| bridge.tag.as_str());
    let mut known: Vec<&str> = inbounds.chain(bridges).collect();
    if tag.is_empty() || known.contains(&tag) {
        return Ok(tag.to_owned());
    }
    known.retain(|tag| !tag.is_empty());
    Err(Failure::Usage(match known.is_empty() {
        true => format!("no inbound or bridge is called {tag:?}; none has a tag"),
        false => format!(
            "no inbound or bridge is called {tag:?}; --from takes one of: {}",
            known.join(", ")
        ),
    }))
}

struct Answer<'a> {
    explanation: Explanation,
    question: Question,
    plan: &'a Plan,
    diagnosis: &'a Diagnosis,
}

impl Answer<'_> {
    /// `config.json:12: routing.rules[0]`
    fn place(&self, rule: usize) -> String {
        match self.diagnosis.rule_place(rule) {
            Some(place) => format!("{}:{}: {}", place.file, place.line, place.path),
            None => format!("rule {rule}"),
        }
    }

    fn conditions(&self, rule: usize) -> &[Condition] {
        let rule = self.plan.router.rules.get(rule);
        rule.map_or(&[], |rule| &rule.conditions)
    }

    fn balancer(&self) -> Option<&BalancerOptions> {
        let rule = self.explanation.rule()?;
        let mut balancers = self.plan.router.balancers.iter();
        match &self.plan.router.rules.get(rule)?.outbound {
            Way::Balancer(tag) => balancers.find(|balancer| balancer.tag == *tag),
            Way::Outbound(_) => None,
        }
    }

    fn judgements(&self, tag: &str) -> Vec<Judgement> {
        judge(self.plan, &self.question, tag)
    }

    fn write_pass(&self, f: &mut fmt::Formatter<'_>, pass: &Pass) -> fmt::Result {
        for (rule, verdict) in pass.verdicts.iter().enumerate() {
            self.write_verdict(f, rule, *verdict)?;
        }
        Ok(())
    }

    fn write_verdict(
        &self,
        f: &mut fmt::Formatter<'_>,
        rule: usize,
        verdict: Verdict,
    ) -> fmt::Result {
        let place = self.place(rule);
        match verdict {
            Verdict::Unmet(index) => {
                let unmet = self.conditions(rule).get(index);
                let unmet = unmet.map_or_else(String::new, shown);
                writeln!(f, "{DIM}no      {place}: not {unmet}{DIM:#}")
            }
            Verdict::Decides => {
                let met: Vec<String> = self.conditions(rule).iter().map(shown).collect();
                writeln!(f, "{GREEN}decides{GREEN:#} {place}: {}", met.join("; "))
            }
        }
    }

    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.explanation.outbounds.is_empty() {
            return writeln!(f, "refused: there is no outbound");
        }
        let why = match (self.balancer(), self.explanation.rule()) {
            (Some(balancer), _) => of_balancer(balancer, &self.explanation),
            (None, Some(_)) => String::new(),
            (None, None) => ", the first one, as no rule decides".to_owned(),
        };
        for tag in &self.explanation.outbounds {
            let what = describe(self.plan, tag);
            writeln!(f, "{BOLD}goes to{BOLD:#} {}{why}: {what}", named(tag))?;
            for judgement in self.judgements(tag) {
                write_judgement(f, &judgement)?;
            }
        }
        self.balancer().map_or(Ok(()), |b| write_balancer(f, b))
    }

    fn to_json(&self) -> Value {
        let outbounds = self.explanation.outbounds.iter();
        let outbounds: Vec<Value> = outbounds.map(|tag| self.outbound_json(tag)).collect();
        let passes = self.explanation.passes.iter();
        let passes: Vec<Value> = passes.map(|pass| self.pass_json(pass)).collect();
        json!({
            "rule": self.explanation.rule(),
            "balancer": self.balancer().map(|balancer| &*balancer.tag),
            "strategy": self.balancer().map(|balancer| balancer.strategy.word()),
            "fallback": self.balancer().and_then(|balancer| balancer.fallback.as_deref()),
            "outbounds": outbounds,
            "passes": passes,
        })
    }

    fn outbound_json(&self, tag: &str) -> Value {
        let judgements = self.judgements(tag).into_iter();
        let addresses = judgements.map(|judgement| {
            json!({
                "address": judgement.address,
                "allowed": judgement.is_allowed,
                "why": judgement.why,
            })
        });
        json!({
            "tag": tag,
            "what": describe(self.plan, tag),
            "addresses": addresses.collect::<Vec<_>>(),
        })
    }

    fn pass_json(&self, pass: &Pass) -> Value {
        let verdicts = pass.verdicts.iter().enumerate();
        let verdicts: Vec<Value> = verdicts
            .map(|(rule, verdict)| self.verdict_json(rule, *verdict))
            .collect();
        json!({ "resolving": pass.resolving, "rules": verdicts })
    }

    fn verdict_json(&self, rule: usize, verdict: Verdict) -> Value {
        let place = self.diagnosis.rule_place(rule);
        let conditions = self.conditions(rule);
        let (matched, unmet) = match verdict {
            Verdict::Decides => (conditions, None),
            Verdict::Unmet(at) => (conditions.get(..at).unwrap_or_default(), conditions.get(at)),
        };
        json!({
            "rule": rule,
            "file": place.as_ref().map(|place| &*place.file),
            "line": place.as_ref().map(|place| place.line),
            "key": place.as_ref().map(|place| place.path.as_str()),
            "decides": verdict == Verdict::Decides,
            "matched": matched.iter().map(shown).collect::<Vec<_>>(),
            "unmet": unmet.map(shown),
        })
    }
}

/// Whether what was picked is the balancer's, or what is left where it selects
/// nothing.
fn of_balancer(balancer: &BalancerOptions, explanation: &Explanation) -> String {
    let mut outbounds = explanation.outbounds.iter();
    match outbounds.any(|tag| balancer.selects(tag)) {
        true => format!(" of balancer {}", balancer.tag),
        false => format!(", as balancer {} selects no outbound", balancer.tag),
    }
}

fn write_balancer(f: &mut fmt::Formatter<'_>, balancer: &BalancerOptions) -> fmt::Result {
    let (name, meaning) = (balancer.strategy.word(), meaning(balancer));
    write!(f, "one of them at a time, by {name}: {meaning}")?;
    match &balancer.fallback {
        Some(tag) => writeln!(f, "; {tag} if none works"),
        None => writeln!(f, "; any if none works"),
    }
}

/// What its strategy picks. What works, and how well, only the running program
/// knows.
fn meaning(balancer: &BalancerOptions) -> &'static str {
    match balancer.strategy {
        BalancerStrategy::Random => "any of those that work",
        BalancerStrategy::RoundRobin => "those that work in turn",
        BalancerStrategy::LeastPing => {
            "of those that work the nearest, as the running program has seen"
        }
        BalancerStrategy::LeastLoad => {
            "of those that work and are near, the one with the fewest connections of the running \
             program"
        }
    }
}

fn write_judgement(f: &mut fmt::Formatter<'_>, judgement: &Judgement) -> fmt::Result {
    let Judgement { address, why, .. } = judgement;
    match judgement.is_allowed {
        true => writeln!(f, "{GREEN}allowed{GREEN:#} {address}: {why}"),
        false => writeln!(f, "{RED}refused{RED:#} {address}: {why}"),
    }
}

const RED: Style = AnsiColor::Red.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.explanation.passes.len() > 1;
        for pass in &self.explanation.passes {
            match pass.resolving {
                true if several => writeln!(f, "by the addresses that the name has:")?,
                false if several => writeln!(f, "by name:")?,
                _ => {}
            }
            self.write_pass(f, pass)?;
        }
        self.write_end(f)
    }
}

fn named(tag: &str) -> &str {
    match tag {
        "" => "the outbound without a tag",
        tag => tag,
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected tcp:HOST:PORT or udp:HOST:PORT";
        let (network, rest) = text.split_once(':').ok_or(FORM)?;
        let network = match network {
            "tcp" => Network::Tcp,
            "udp" => Network::Udp,
            _ => return Err(FORM),
        };
        let (host, port) = rest.rsplit_once(':').ok_or(FORM)?;
        let port = port
            .parse()
            .map_err(|_| "the port is none: use 0 to 65535")?;
        let address: Address = host
            .parse()
            .map_err(|_| "the host is neither an address nor a name")?;
        Ok(Self(Destination::new(network, address, port)))
    }
}

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
        let source = alone.or_else(|_| text.parse());
        source
            .map(Self)
            .map_err(|_| "expected an IP address, or one with a port")
    }
}
