//! Rows as text.

use crate::{
    common::spread::Spread,
    figure::{Line, Row},
    peer::Peer,
};

/// Columns of a peer, and of a comparison.
const MEDIAN: usize = 9;
const RATIO: usize = 16;

/// Peers that we are compared with in the table.
const COMPARED: [Peer; 2] = [Peer::V2ray, Peer::Relays];

/// Medians of the rounds; then how many times as good we are as a peer, and
/// whether that is what is asked for; then what other programs took of the
/// processors. Failures stand below.
pub fn print(rows: &[Row], peers: &[Peer]) {
    let labels = rows.iter().flat_map(|row| &row.lines).map(Line::label);
    let width = labels.map(|label| label.len()).max().unwrap_or_default();
    println!("\n{}", heading(width, peers));
    for row in rows {
        for line in 0..row.lines.len() {
            println!("{}", text(row, line, width, peers));
        }
    }
    println!();
    rows.iter().for_each(print_failures);
    println!("Medians. A ratio above 1 is in muxcool's favour; >= is the floor asked for.");
}

fn heading(width: usize, peers: &[Peer]) -> String {
    let mut text = format!("{:width$}", "");
    for peer in peers {
        text += &format!(" {peer:>MEDIAN$}");
    }
    for peer in COMPARED {
        text += &format!("  {:RATIO$}", format!("to {peer}"));
    }
    text + "  spread  others"
}

fn text(row: &Row, line: usize, width: usize, peers: &[Peer]) -> String {
    let what = &row.lines[line];
    let mut text = format!("{:width$}", what.label());
    for peer in peers {
        let median = row.median(line, *peer);
        let cell = median.map(|value| format!("{value:.*}", what.digits));
        text += &format!(" {:>MEDIAN$}", cell.unwrap_or_else(|| "-".to_owned()));
    }
    for peer in COMPARED {
        text += &format!("  {:RATIO$}", compared(row, line, peer));
    }
    let others = row.taken_by_others * 100.0;
    let least = at_least(row, line);
    format!("{text}  {:>6}  {others:>4.0} %{least}", spread(row, line))
}

/// Whether our own value is what is asked of it.
fn at_least(row: &Row, line: usize) -> String {
    let value = row.median(line, Peer::Muxcool);
    match row.lines[line].least.zip(value) {
        None => String::new(),
        Some((least, value)) if value >= least => format!("  >={least} met"),
        Some((least, _)) => format!("  >={least} MISSED"),
    }
}

fn compared(row: &Row, line: usize, peer: Peer) -> String {
    let Some(ratio) = row.ratio(line, peer) else {
        return "-".to_owned();
    };
    let floors = &row.lines[line].floors;
    match floors.iter().find(|(whom, _)| *whom == peer) {
        None => format!("{ratio:.2}"),
        Some((_, floor)) if ratio >= *floor => format!("{ratio:.2} >={floor} met"),
        Some((_, floor)) => format!("{ratio:.2} >={floor} MISSED"),
    }
}

/// How far our rounds were apart, in percent of their median.
fn spread(row: &Row, line: usize) -> String {
    let spread = row.values(line, Peer::Muxcool).map(Spread::of);
    match spread {
        Some(spread) if spread.median > 0.0 => {
            format!("{:.0} %", spread.width() / spread.median * 100.0)
        }
        _ => "-".to_owned(),
    }
}

fn print_failures(row: &Row) {
    for series in &row.series {
        if let Err(why) = &series.rounds {
            println!("{}: {} failed: {why}", row.name, series.peer);
        }
    }
}
