//! A look at a program, as text.

use std::cmp::Reverse;
use std::time::Duration;

use crate::app::status::{
    CandidateSnapshot, CarrierSnapshot, ConnectionSnapshot, ServiceSnapshot, Snapshot,
    StreamSnapshot, TotalsSnapshot,
};
use crate::escape::Escaped;

/// The program, its carriers, its balancers' outbounds, `streams` of the
/// carriers' streams, and as many of the connections through none. With a look
/// from `before` there is also what has flowed since, per second.
pub(super) fn render(now: &Snapshot, before: Option<&Snapshot>, streams: usize) -> String {
    let mut parts = vec![headline(now)];
    let mut carriers = Columns::new(&CARRIERS);
    for service in &now.services {
        add_service(&mut carriers, service, &Pace::new(now, before));
    }
    match now.connections.open {
        0 => parts.extend(carriers.text("no portals, no bridges, no carriers")),
        _ => parts.extend(carriers.filled()),
    }
    parts.extend(balancers_text(now));
    parts.extend(streams_text(now, streams));
    parts.extend(connections_text(now, streams));
    parts.join("\n\n")
}

/// What has happened since an earlier look.
struct Pace<'a> {
    before: Option<&'a Snapshot>,
    seconds: f64,
}

/// Headings, and whether what is below them are numbers.
type Heading = (&'static str, bool);

const CARRIERS: [Heading; 13] = [
    ("SERVICE", false),
    ("CARRIER", true),
    ("PEER", false),
    ("STATE", false),
    ("AGE", true),
    ("RTT", true),
    ("STREAMS", true),
    ("SENT", true),
    ("RECEIVED", true),
    ("SENT/S", true),
    ("RECEIVED/S", true),
    ("CREDIT WAITS", true),
    ("HOLD-UPS", true),
];

const BALANCERS: [Heading; 7] = [
    ("BALANCER", false),
    ("STRATEGY", false),
    ("OUTBOUND", false),
    ("STATE", false),
    ("RTT", true),
    ("LAST TRIED", true),
    ("CONNECTIONS", true),
];

const STREAMS: [Heading; 8] = [
    ("STREAM", true),
    ("VISITOR", false),
    ("TARGET", false),
    ("AGE", true),
    ("SENT", true),
    ("RECEIVED", true),
    ("PARKED", true),
    ("", false),
];

const CONNECTIONS: [Heading; 8] = [
    ("CONNECTION", true),
    ("INBOUND", false),
    ("VISITOR", false),
    ("TARGET", false),
    ("OUTBOUND", false),
    ("AGE", true),
    ("SENT", true),
    ("RECEIVED", true),
];

fn headline(now: &Snapshot) -> String {
    let (version, pid) = (escaped(&now.version), now.pid);
    let age = time(now.uptime_seconds);
    let hindrances = now.hindrances();
    let state = match hindrances.is_empty() {
        true => "ready".to_owned(),
        false => format!("not ready: {}", hindrances.join(", ")),
    };
    format!("muxcool {version}, process {pid}, up {age}: {state}")
}

fn add_service(table: &mut Columns, service: &ServiceSnapshot, pace: &Pace<'_>) {
    let name = format!("{} {}", service.kind.word(), escaped(&service.name));
    for carrier in &service.carriers {
        table.add(carrier_row(&name, carrier, pace.of(service, carrier)));
    }
    if let Some(why) = service.hindrance().filter(|_| service.carriers.is_empty()) {
        let words = why.split(" has ").last().unwrap_or_default();
        table.add(vec![name, "-".to_owned(), words.to_owned()]);
    }
}

fn carrier_row(service: &str, carrier: &CarrierSnapshot, pace: Option<[f64; 2]>) -> Vec<String> {
    let totals = &carrier.totals;
    let [out, back] = pace.map_or_else(Default::default, |pace| pace.map(amount));
    vec![
        service.to_owned(),
        carrier.number.to_string(),
        escaped(carrier.peer.as_deref().unwrap_or("-")),
        state(carrier),
        time(carrier.age_seconds),
        carrier.round_trip_seconds.map_or_else(dash, round_trip),
        carrier.sessions.to_string(),
        amount(totals.sent_bytes as f64),
        amount(totals.received_bytes as f64),
        out,
        back,
        totals.credit_waits.to_string(),
        totals.hold_ups.to_string(),
    ]
}

fn state(carrier: &CarrierSnapshot) -> String {
    match carrier.is_held_up {
        true => format!("{}, held up", escaped(&carrier.state)),
        false => escaped(&carrier.state),
    }
}

fn balancers_text(now: &Snapshot) -> Option<String> {
    let mut table = Columns::new(&BALANCERS);
    for balancer in &now.balancers {
        let name = [&balancer.tag, &balancer.strategy].map(|text| escaped(text));
        let mut add = |cells: Vec<String>| table.add([name.to_vec(), cells].concat());
        if balancer.outbounds.is_empty() {
            add(vec!["-".to_owned(), "selects none".to_owned()]);
        }
        for outbound in &balancer.outbounds {
            add(candidate_cells(outbound));
        }
        if let Some(tag) = &balancer.fallback {
            add(vec![escaped(tag), "fallback".to_owned()]);
        }
    }
    table.filled()
}

fn candidate_cells(outbound: &CandidateSnapshot) -> Vec<String> {
    let state = escaped(&outbound.state);
    let ago = |seconds| format!("{} ago", time(seconds));
    vec![
        escaped(&outbound.tag),
        match outbound.failed_seconds_ago {
            Some(seconds) => format!("{state}, failed {}", ago(seconds)),
            None => state,
        },
        outbound.round_trip_seconds.map_or_else(dash, round_trip),
        outbound.tried_seconds_ago.map_or_else(dash, ago),
        outbound.connections.to_string(),
    ]
}

/// Those with the most bytes, and how many others there are.
fn streams_text(now: &Snapshot, most: usize) -> Vec<String> {
    let carriers: Vec<&CarrierSnapshot> = now.services.iter().flat_map(|s| &s.carriers).collect();
    let streams = carriers
        .iter()
        .flat_map(|c| c.streams.iter().map(|s| (c.number, s)));
    let mut all: Vec<(u32, &StreamSnapshot)> = streams.collect();
    all.sort_by_key(|(number, s)| {
        let bytes = s.sent_bytes.saturating_add(s.received_bytes);
        (Reverse(bytes), *number, s.id)
    });
    let mut table = Columns::new(&STREAMS);
    for (number, stream) in all.iter().take(most) {
        table.add(stream_row(*number, stream));
    }
    let open: u64 = carriers.iter().map(|carrier| carrier.sessions).sum();
    let rest = open.saturating_sub(table.rows.len() as u64);
    let note = (rest > 0).then(|| format!("and {rest} streams more (--streams N)"));
    table.filled().into_iter().chain(note).collect()
}

fn stream_row(carrier: u32, stream: &StreamSnapshot) -> Vec<String> {
    vec![
        format!("{carrier}/{}", stream.id),
        escaped(stream.visitor.as_deref().unwrap_or("-")),
        escaped(&stream.target),
        time(stream.age_seconds),
        amount(stream.sent_bytes as f64),
        amount(stream.received_bytes as f64),
        amount(stream.parked_bytes as f64),
        if stream.waits_for_credit {
            "waits for credit"
        } else {
            ""
        }
        .to_owned(),
    ]
}

/// As of the streams.
fn connections_text(now: &Snapshot, most: usize) -> Vec<String> {
    let mut all: Vec<&ConnectionSnapshot> = now.connections.list.iter().collect();
    all.sort_by_key(|c| (Reverse(c.sent_bytes.saturating_add(c.received_bytes)), c.id));
    let mut table = Columns::new(&CONNECTIONS);
    for connection in all.iter().take(most) {
        table.add(connection_row(connection));
    }
    let rest = now.connections.open.saturating_sub(table.rows.len() as u64);
    let note = (rest > 0).then(|| format!("and {rest} connections more (--streams N)"));
    table.filled().into_iter().chain(note).collect()
}

fn connection_row(connection: &ConnectionSnapshot) -> Vec<String> {
    vec![
        connection.id.to_string(),
        escaped(&connection.inbound),
        escaped(&connection.visitor),
        escaped(&connection.target),
        escaped(&connection.outbound),
        time(connection.age_seconds),
        amount(connection.sent_bytes as f64),
        amount(connection.received_bytes as f64),
    ]
}

impl<'a> Pace<'a> {
    fn new(now: &Snapshot, before: Option<&'a Snapshot>) -> Self {
        // Of another process there is nothing to compare with.
        let before = before.filter(|before| before.pid == now.pid);
        let since = before.map_or(0.0, |before| now.uptime_seconds - before.uptime_seconds);
        Self {
            before: before.filter(|_| since > 0.0),
            seconds: since,
        }
    }

    /// Bytes a second, sent and received.
    fn of(&self, service: &ServiceSnapshot, carrier: &CarrierSnapshot) -> Option<[f64; 2]> {
        let services = &self.before?.services;
        let same = services
            .iter()
            .find(|s| (s.kind, &s.name) == (service.kind, &service.name))?;
        let same = same.carriers.iter().find(|c| c.number == carrier.number)?;
        let pace = |bytes: fn(&TotalsSnapshot) -> u64| {
            bytes(&carrier.totals).saturating_sub(bytes(&same.totals)) as f64 / self.seconds
        };
        Some([pace(|t| t.sent_bytes), pace(|t| t.received_bytes)])
    }
}

/// Rows in columns that are as wide as they have to be.
struct Columns {
    headings: &'static [Heading],
    rows: Vec<Vec<String>>,
}

impl Columns {
    fn new(headings: &'static [Heading]) -> Self {
        Self {
            headings,
            rows: Vec::new(),
        }
    }

    fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The table, or what there is to say if it is empty.
    fn text(self, empty: &str) -> Option<String> {
        Some(self.filled().unwrap_or_else(|| empty.to_owned()))
    }

    /// The table, unless it is empty. Columns without anything are left out.
    fn filled(&self) -> Option<String> {
        if self.rows.is_empty() {
            return None;
        }
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let mut lines = vec![String::new(); self.rows.len() + 1];
        for (column, (heading, is_number)) in self.headings.iter().enumerate() {
            let cells: Vec<String> = self.rows.iter().map(|row| cell(row, column)).collect();
            if cells.iter().all(String::is_empty) {
                continue;
            }
            let cells = [vec![(*heading).to_owned()], cells].concat();
            let width = cells.iter().map(String::len).max().unwrap_or_default();
            for (line, cell) in lines.iter_mut().zip(cells) {
                let gap = if line.is_empty() { "" } else { "  " };
                *line += &match is_number {
                    true => format!("{gap}{cell:>width$}"),
                    false => format!("{gap}{cell:<width$}"),
                };
            }
        }
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        Some(lines.join("\n"))
    }
}

/// In place of what is not known.
fn dash() -> String {
    "-".to_owned()
}

/// Names come from configurations and peers.
fn escaped(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}

/// Three digits and a unit, as `1.23 MB`.
fn amount(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 999.5 {
        let Some(larger) = units.next() else { break };
        (value, unit) = (value / 1000.0, Some(larger));
    }
    let digits = match value {
        _ if bytes < 999.5 => 0,
        small if small < 9.995 => 2,
        medium if medium < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", unit.unwrap_or(&"B"))
}

/// The two largest units of a time.
fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours) = (whole / 86_400, whole / 3_600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{seconds:02}s"),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours:02}h"),
    }
}

fn round_trip(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match time.as_millis() {
        0..10 => format!("{:.2}ms", seconds * 1000.0),
        10..1000 => format!("{}ms", time.as_millis()),
        _ => format!("{seconds:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::status::{BalancerSnapshot, ConnectionsSnapshot, Kind, Phase};

    fn stream(id: u16, received_bytes: u64) -> StreamSnapshot {
        StreamSnapshot {
            id,
            visitor: Some("198.51.100.9:50112".to_owned()),
            target: "tcp:web.example:80".to_owned(),
            age_seconds: 61.2,
            sent_bytes: 512,
            received_bytes,
            parked_bytes: 0,
            waits_for_credit: id == 2,
        }
    }

    fn snapshot() -> Snapshot {
        let carrier = CarrierSnapshot {
            number: 3,
            peer: Some("203.0.113.7:51234".to_owned()),
            state: "suspect".to_owned(),
            is_reliable: false,
            has_muxcool_peer: true,
            age_seconds: 4_350.0,
            round_trip_seconds: Some(0.023_4),
            sessions: 3,
            parked_bytes: 0,
            is_held_up: true,
            totals: TotalsSnapshot {
                sent_bytes: 1_234_567,
                received_bytes: 98_700_000_000,
                credit_waits: 7,
                ..TotalsSnapshot::default()
            },
            streams: vec![stream(1, 10), stream(2, 99_949)],
        };
        let service = |kind, name: &str, carriers| ServiceSnapshot {
            kind,
            name: name.to_owned(),
            totals: TotalsSnapshot::default(),
            carriers,
        };
        Snapshot {
            version: "1.2.3".to_owned(),
            pid: 4242,
            configuration: String::new(),
            started_seconds: 0.0,
            uptime_seconds: 93_784.9,
            phase: Phase::Running,
            services: vec![
                service(Kind::Portal, "web", vec![carrier]),
                service(Kind::Bridge, "b\x1b", Vec::new()),
                service(Kind::Inbound, "in", Vec::new()),
            ],
            balancers: Vec::new(),
            connections: ConnectionsSnapshot::default(),
        }
    }

    fn connection(id: u32, received_bytes: u64) -> ConnectionSnapshot {
        ConnectionSnapshot {
            id,
            inbound: "proxy".to_owned(),
            visitor: "198.51.100.9:50112".to_owned(),
            target: "tcp:web.example:80".to_owned(),
            outbound: String::new(),
            age_seconds: 61.2,
            sent_bytes: 512,
            received_bytes,
        }
    }

    #[test]
    fn a_look_is_three_parts() {
        let expected = r#"muxcool 1.2.3, process 4242, up 1d02h: not ready: portal "web" has no bridge to rely on, bridge "b\u{1b}" has no carrier to rely on

SERVICE       CARRIER  PEER                   STATE               AGE   RTT  STREAMS     SENT  RECEIVED  CREDIT WAITS  HOLD-UPS
portal web          3  203.0.113.7:51234      suspect, held up  1h12m  23ms        3  1.23 MB   98.7 GB             7         0
bridge b\x1b        -  no carrier to rely on

STREAM  VISITOR             TARGET                AGE   SENT  RECEIVED  PARKED
   3/2  198.51.100.9:50112  tcp:web.example:80  1m01s  512 B   99.9 kB     0 B  waits for credit

and 2 streams more (--streams N)"#;
        let shown = render(&snapshot(), None, 1);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn connections_through_no_carrier_are_a_part() {
        let plain = Snapshot {
            services: Vec::new(),
            connections: ConnectionsSnapshot {
                open: 3,
                list: vec![connection(7, 10), connection(8, 99_949)],
            },
            ..snapshot()
        };
        let expected = "muxcool 1.2.3, process 4242, up 1d02h: ready

CONNECTION  INBOUND  VISITOR             TARGET                AGE   SENT  RECEIVED
         8  proxy    198.51.100.9:50112  tcp:web.example:80  1m01s  512 B   99.9 kB

and 2 connections more (--streams N)";
        let shown = render(&plain, None, 1);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn balancers_are_a_part() {
        let outbound = |tag: &str, state: &str, round_trip_seconds| CandidateSnapshot {
            tag: tag.to_owned(),
            state: state.to_owned(),
            round_trip_seconds,
            failed_seconds_ago: (state == "down").then_some(7.9),
            tried_seconds_ago: (state == "down").then_some(65.0),
            connections: 2,
        };
        let balancer = |tag: &str, outbounds| BalancerSnapshot {
            tag: tag.to_owned(),
            strategy: "leastPing".to_owned(),
            fallback: Some("direct".to_owned()),
            outbounds,
        };
        let idle = Snapshot {
            services: Vec::new(),
            balancers: vec![
                balancer(
                    "all",
                    vec![
                        outbound("out-a", "up", Some(0.023_4)),
                        outbound("out-b\x1b", "down", None),
                    ],
                ),
                balancer("none", Vec::new()),
            ],
            ..snapshot()
        };
        let expected = r"
BALANCER  STRATEGY   OUTBOUND   STATE                 RTT  LAST TRIED  CONNECTIONS
all       leastPing  out-a      up                   23ms           -            2
all       leastPing  out-b\x1b  down, failed 7s ago     -   1m05s ago            2
all       leastPing  direct     fallback
none      leastPing  -          selects none
none      leastPing  direct     fallback";
        let shown = render(&idle, None, 1);
        assert!(shown.ends_with(expected), "\n{shown}");
    }

    #[test]
    fn a_second_look_says_what_flows() {
        let before = snapshot();
        let mut now = snapshot();
        now.uptime_seconds += 2.0;
        now.services[0].carriers[0].totals.sent_bytes += 3_000_000;
        let shown = render(&now, Some(&before), 0);
        assert!(shown.contains("   SENT/S  RECEIVED/S  "), "{shown}");
        assert!(shown.contains("  1.50 MB         0 B  "), "{shown}");
        let other = Snapshot { pid: 1, ..before };
        assert!(!render(&now, Some(&other), 0).contains("SENT/S"));
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let idle = Snapshot {
            services: Vec::new(),
            uptime_seconds: 1.0,
            ..snapshot()
        };
        let expected = "muxcool 1.2.3, process 4242, up 1s: ready\n\n\
                        no portals, no bridges, no carriers";
        assert_eq!(render(&idle, None, 9), expected);
    }

    #[test]
    fn numbers_are_short() {
        for (bytes, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1000.0, "1.00 kB"),
            (9_994.0, "9.99 kB"),
            (9_996.0, "10.0 kB"),
            (99_960.0, "100 kB"),
            (999_600.0, "1.00 MB"),
            (5e18, "5000000 TB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
        for (seconds, text) in [(0.9, "0s"), (60.0, "1m00s"), (3_660.0, "1h01m")] {
            assert_eq!(time(seconds), text);
        }
        for (seconds, text) in [(0.000_123, "0.12ms"), (0.5, "500ms"), (1.25, "1.2s")] {
            assert_eq!(round_trip(seconds), text);
        }
    }
}
