//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use super::census::Phase;
use super::snapshot::{CarrierSnapshot, ServiceSnapshot, Snapshot, TotalsSnapshot};
use crate::limits::METRICS_CARRIERS;

/// What Prometheus is told of a program.
///
/// Names, tags and addresses are all that labels have; of the carriers of each
/// service only [`METRICS_CARRIERS`] have lines of their own. Neither visitors
/// nor targets are named.
pub fn text(snapshot: &Snapshot) -> String {
    let mut page = Page(String::new());
    page.program(snapshot);
    page.services(&snapshot.services);
    page.service_totals(&snapshot.services);
    page.carriers(&snapshot.services);
    page.0
}

/// States in which carriers can be.
const STATES: [&str; 3] = ["healthy", "suspect", "draining"];

struct Page(String);

/// What a family's numbers are.
#[derive(Clone, Copy)]
enum Type {
    Counter,
    Gauge,
}

impl Page {
    fn program(&mut self, snapshot: &Snapshot) {
        let version = [("version", snapshot.version.as_str())];
        self.family("build_info", Type::Gauge, "The program's version.");
        self.sample("build_info", &version, 1);
        self.family(
            "start_time_seconds",
            Type::Gauge,
            "When the program began, in seconds since 1970.",
        );
        self.sample("start_time_seconds", &[], snapshot.started_seconds);
        let is_ready = snapshot.hindrances().is_empty();
        self.family(
            "ready",
            Type::Gauge,
            "Whether it is ready, as /readyz says.",
        );
        self.sample("ready", &[], u8::from(is_ready));
        let drains = snapshot.phase == Phase::Draining;
        self.family("draining", Type::Gauge, "Whether it waits for its end.");
        self.sample("draining", &[], u8::from(drains));
    }

    fn services(&mut self, services: &[ServiceSnapshot]) {
        self.family("carriers", Type::Gauge, "Carriers open now, by state.");
        for service in services {
            for state in STATES {
                let count = service.carriers.iter().filter(|c| c.state == state).count();
                let [kind, name] = labels(service);
                self.sample("carriers", &[kind, name, ("state", state)], count);
            }
        }
        self.of_services("sessions", "Streams and flows open now.", services, |s| {
            s.carriers.iter().map(|carrier| carrier.sessions).sum()
        });
        self.of_services(
            "parked_bytes",
            "Bytes that wait for slow readers.",
            services,
            |s| s.carriers.iter().map(|carrier| carrier.parked_bytes).sum(),
        );
    }

    fn of_services(
        &mut self,
        name: &str,
        help: &str,
        services: &[ServiceSnapshot],
        value: impl Fn(&ServiceSnapshot) -> u64,
    ) {
        self.family(name, Type::Gauge, help);
        for service in services {
            self.sample(name, &labels(service), value(service));
        }
    }

    fn service_totals(&mut self, services: &[ServiceSnapshot]) {
        for (name, help, value) in TOTALS {
            self.family(name, Type::Counter, help);
            for service in services {
                self.sample(name, &labels(service), value(&service.totals));
            }
        }
    }

    fn carriers(&mut self, services: &[ServiceSnapshot]) {
        let all: Vec<Labelled<'_>> = services.iter().flat_map(labelled).collect();
        self.family("carrier_info", Type::Gauge, "Each carrier's other end.");
        for (labels, carrier) in &all {
            let peer = carrier.peer.as_deref().unwrap_or_default();
            let [kind, name, number] = own(labels);
            let peer = [kind, name, number, ("peer", peer)];
            self.sample("carrier_info", &peer, 1);
        }
        for (name, help, value) in CARRIER_GAUGES {
            self.family(name, Type::Gauge, help);
            for (labels, carrier) in &all {
                if let Some(value) = value(carrier) {
                    self.sample(name, &own(labels), value);
                }
            }
        }
        for (name, help, value) in CARRIER_TOTALS {
            self.family(name, Type::Counter, help);
            for (labels, carrier) in &all {
                self.sample(name, &own(labels), value(&carrier.totals));
            }
        }
    }

    fn family(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        // A string takes all that is written.
        let _ = writeln!(self.0, "# HELP muxcool_{name} {help}");
        let _ = writeln!(self.0, "# TYPE muxcool_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        let _ = write!(self.0, "muxcool_{name}");
        for (index, (key, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{key}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }
}

type Label<'a> = (&'static str, &'a str);

/// A carrier, and what is its own: whose it is, and its number.
type Labelled<'a> = (([Label<'a>; 2], String), &'a CarrierSnapshot);

fn labels(service: &ServiceSnapshot) -> [Label<'_>; 2] {
    [("kind", service.kind.word()), ("service", &service.name)]
}

fn labelled(service: &ServiceSnapshot) -> impl Iterator<Item = Labelled<'_>> {
    let shown = service.carriers.iter().take(METRICS_CARRIERS);
    shown.map(|carrier| ((labels(service), carrier.number.to_string()), carrier))
}

fn own<'a>(of: &'a ([Label<'a>; 2], String)) -> [Label<'a>; 3] {
    let ([kind, name], number) = of;
    [*kind, *name, ("carrier", number)]
}

/// As the format wants the values of labels.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

type Total = (&'static str, &'static str, fn(&TotalsSnapshot) -> u64);

const TOTALS: [Total; 8] = [
    (
        "carriers_opened_total",
        "Carriers that there have been.",
        |t| t.carriers,
    ),
    (
        "sessions_opened_total",
        "Sessions that there have been, the carriers' own among them.",
        |t| t.sessions,
    ),
    ("sent_bytes_total", "Bytes written to carriers.", |t| {
        t.sent_bytes
    }),
    ("received_bytes_total", "Bytes read from carriers.", |t| {
        t.received_bytes
    }),
    (
        "credit_waits_total",
        "How often a sender had to wait for credit.",
        |t| t.credit_waits,
    ),
    (
        "hold_ups_total",
        "How often one stream made a carrier's others wait.",
        |t| t.hold_ups,
    ),
    (
        "stalled_sessions_total",
        "Streams that were ended for making others wait.",
        |t| t.stalled,
    ),
    (
        "dropped_datagrams_total",
        "Datagrams that found no room.",
        |t| t.dropped,
    ),
];

type CarrierGauge = (
    &'static str,
    &'static str,
    fn(&CarrierSnapshot) -> Option<f64>,
);

const CARRIER_GAUGES: [CarrierGauge; 5] = [
    (
        "carrier_up",
        "Whether it is neither suspect nor draining.",
        |c| Some(f64::from(u8::from(c.state == "healthy"))),
    ),
    ("carrier_age_seconds", "How long it has been there.", |c| {
        Some(c.age_seconds)
    }),
    (
        "carrier_round_trip_seconds",
        "The shortest round trip that was measured.",
        |c| c.round_trip_seconds,
    ),
    ("carrier_sessions", "Streams and flows open now.", |c| {
        Some(c.sessions as f64)
    }),
    (
        "carrier_parked_bytes",
        "Bytes that wait for slow readers.",
        |c| Some(c.parked_bytes as f64),
    ),
];

const CARRIER_TOTALS: [Total; 4] = [
    ("carrier_sent_bytes_total", "Bytes written to it.", |t| {
        t.sent_bytes
    }),
    ("carrier_received_bytes_total", "Bytes read from it.", |t| {
        t.received_bytes
    }),
    (
        "carrier_credit_waits_total",
        "How often a sender had to wait for credit.",
        |t| t.credit_waits,
    ),
    (
        "carrier_hold_ups_total",
        "How often one stream made the others wait.",
        |t| t.hold_ups,
    ),
];

#[cfg(test)]
mod tests {
    use super::super::census::Kind;
    use super::*;
    use crate::app::status::ConnectionsSnapshot;

    fn snapshot(name: &str, carriers: usize) -> Snapshot {
        let carrier = |number| CarrierSnapshot {
            number,
            peer: Some("192.0.2.7:443".to_owned()),
            state: "suspect".to_owned(),
            is_reliable: false,
            has_muxcool_peer: true,
            age_seconds: 1.5,
            round_trip_seconds: None,
            sessions: 2,
            parked_bytes: 3,
            is_held_up: false,
            totals: TotalsSnapshot {
                sent_bytes: 4,
                ..TotalsSnapshot::default()
            },
            streams: Vec::new(),
        };
        Snapshot {
            version: "1.2.3".to_owned(),
            pid: 1,
            configuration: String::new(),
            started_seconds: 1_700_000_000.25,
            uptime_seconds: 2.0,
            phase: Phase::Running,
            services: vec![ServiceSnapshot {
                kind: Kind::Portal,
                name: name.to_owned(),
                totals: TotalsSnapshot {
                    sent_bytes: u64::MAX,
                    ..TotalsSnapshot::default()
                },
                carriers: (1..=carriers as u32).map(carrier).collect(),
            }],
            balancers: Vec::new(),
            connections: ConnectionsSnapshot::default(),
        }
    }

    #[test]
    fn families_have_help_a_type_and_samples() {
        let page = text(&snapshot("web", 1));
        for lines in [
            "# HELP muxcool_build_info The program's version.\n\
             # TYPE muxcool_build_info gauge\n\
             muxcool_build_info{version=\"1.2.3\"} 1\n",
            "muxcool_start_time_seconds 1700000000.25\n",
            "muxcool_ready 0\n",
            "muxcool_carriers{kind=\"portal\",service=\"web\",state=\"suspect\"} 1\n",
            "muxcool_carriers{kind=\"portal\",service=\"web\",state=\"healthy\"} 0\n",
            "# TYPE muxcool_sent_bytes_total counter\n\
             muxcool_sent_bytes_total{kind=\"portal\",service=\"web\"} 18446744073709551615\n",
            "muxcool_carrier_info{kind=\"portal\",service=\"web\",carrier=\"1\",\
             peer=\"192.0.2.7:443\"} 1\n",
            "muxcool_carrier_age_seconds{kind=\"portal\",service=\"web\",carrier=\"1\"} 1.5\n",
            "muxcool_carrier_sent_bytes_total{kind=\"portal\",service=\"web\",carrier=\"1\"} 4\n",
        ] {
            assert!(page.contains(lines), "{lines} in\n{page}");
        }
        assert!(!page.contains("carrier_round_trip_seconds{"));
    }

    #[test]
    fn names_make_no_lines_of_their_own() {
        let page = text(&snapshot("a\"b\\c\nmuxcool_ready 1", 0));
        assert!(page.contains(r#"service="a\"b\\c\nmuxcool_ready 1"}"#));
        assert!(page.lines().all(|line| line != "muxcool_ready 1"));
    }

    #[test]
    fn carriers_without_end_make_a_page_with_one() {
        let count = |carriers| {
            let page = text(&snapshot("web", carriers));
            page.lines().count()
        };
        assert_eq!(count(METRICS_CARRIERS), count(METRICS_CARRIERS + 1000));
    }
}
