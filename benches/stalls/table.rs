//! Rows as text.

use crate::figure::{Cell, Figure, Peak, Row};

/// Width of the column that names the programs.
const WHO: usize = 30;

pub fn print(row: &Row) {
    println!(
        "\n== {} ({:.0} % of the processors taken by others)",
        row.name,
        row.taken_by_others * 100.0
    );
    row.figures.iter().for_each(print_figure);
    println!();
}

fn print_figure(figure: &Figure) {
    println!("{}", figure.what);
    println!("  {:WHO$} {}", "target", figure.target);
    for cell in &figure.cells {
        println!("  {:WHO$} {}{}", cell.who, result(cell), peaks(&cell.peaks));
    }
}

fn result(cell: &Cell) -> String {
    match &cell.reading {
        Err(why) => format!("failed: {why}"),
        Ok(reading) => match reading.met {
            None => reading.text.clone(),
            Some(true) => format!("{} - met", reading.text),
            Some(false) => format!("{} - MISSED", reading.text),
        },
    }
}

fn peaks(peaks: &[Peak]) -> String {
    if peaks.is_empty() {
        return String::new();
    }
    let each: Vec<String> = peaks.iter().map(peak).collect();
    format!("  [{}]", each.join(", "))
}

fn peak(peak: &Peak) -> String {
    format!("{} {:.0} MB", peak.role, peak.bytes as f64 / 1e6)
}
